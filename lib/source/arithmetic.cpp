#include "arithmetic.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <memory>

#include "tokens.hpp"

namespace kernels::source {
namespace {

__extension__ typedef __int128 Whole;  // holds sums and products of what is within 64 bits

// A number that is known before the layer runs, or none.
struct Known {
    enum class Type { none, whole, real };
    Type type = Type::none;
    std::int64_t whole = 0;
    double real = 0;  // of a whole number too

    static Known of(std::int64_t number) { return {Type::whole, number, static_cast<double>(number)}; }
    static Known of_real(double number) { return {Type::real, 0, number}; }
};

class Arithmetic {
  public:
    explicit Arithmetic(const Scope& scope) : m_scope(scope) {}

    Known value(const Expression& e) {
        if (e.kind == Expr::conditional) {
            if (const auto truth = known_truth(e.part(1), m_scope)) return value(e.part(*truth ? 0 : 2));
        }
        if (m_depth == 0) require_bounded_text(e);
        // All parts are looked at, those of calls and subscripts too.
        std::vector<Known> parts;
        for (const auto& part : e.parts)
            parts.push_back(part ? value(*part) : Known());
        switch (e.kind) {
            case Expr::number:
                return number(e.text);
            case Expr::name:
                return constant(e);
            case Expr::unary:
                return unary(e, parts[0]);
            case Expr::binary:
                return binary(e, parts[0], parts[1]);
            case Expr::call:
                require_one_type(e, parts);
                if (e.part(0).is(Expr::name, "str")) require_equal_text(e, parts);
                return {};
            case Expr::format:
                require_equal_text(e, parts);
                return {};
            default:
                return {};
        }
    }

  private:
    [[noreturn]] void refuse_at(const Expression& e, const std::string& why) const {
        refuse(m_scope.function.file(), e.line, why);
    }

    // Python counts characters and TorchScript bytes.
    void require_bounded_text(const Expression& e) const {
        const bool text = e.kind == Expr::string || e.kind == Expr::format;
        if (text && std::any_of(e.text.begin(), e.text.end(), [](char c) { return (c & 0x80) != 0; }))
            refuse_at(
                e, "a text with characters beyond ASCII, whose length and parts TorchScript tells otherwise");
        static const std::set<std::string> of_any_length = {"ljust", "rjust",      "center",
                                                            "zfill", "expandtabs", "factorial"};
        if (e.kind == Expr::call && e.part(0).kind == Expr::attribute &&
            of_any_length.contains(e.part(0).text))
            refuse_at(e, "a call of " + e.part(0).text + ", whose result has no bound");
    }

    // Of what is known libtorch's compiler makes the text at once.
    void require_equal_text(const Expression& e, const std::vector<Known>& parts) const {
        for (std::size_t i = 0; i < parts.size(); ++i) {
            const bool real = parts[i].type == Known::Type::real;
            if (real || m_scope.path(e.part(i)).starts_with("torch."))
                refuse_at(e, std::string("it computes with the text of a ") + (real ? "float" : "dtype") +
                                 ", which TorchScript writes otherwise than Python");
        }
    }

    // max(1, 2.5): Python gives one of them as it is, TorchScript a float.
    void require_one_type(const Expression& e, const std::vector<Known>& parts) const {
        const Expression& callee = e.part(0);
        if (!(callee.is(Expr::name, "max") || callee.is(Expr::name, "min"))) return;
        const auto has = [&](Known::Type type) {
            return std::any_of(parts.begin(), parts.end(),
                               [&](const Known& part) { return part.type == type; });
        };
        if (has(Known::Type::whole) && has(Known::Type::real))
            refuse_at(e, callee.text + " of a whole number and a float, of which TorchScript makes a float");
    }

    static Known number(const std::string& text) {
        const bool real = text.find_first_of(".eE") != std::string::npos;
        std::int64_t whole = 0;
        double number = 0;
        if (real) {
            std::from_chars(text.data(), text.data() + text.size(), number);
            return Known::of_real(number);
        }
        std::from_chars(text.data(), text.data() + text.size(), whole);
        return Known::of(whole);
    }

    // A variable with one value, or a constant of the package. What is wrong with it is told at its own
    // place.
    Known constant(const Expression& e) {
        if (const auto once = m_scope.once.find(e.text); once != m_scope.once.end())
            return known(*once->second, m_scope);
        if (m_scope.locals.contains(e.text) || m_scope.flags.contains(e.text)) return {};
        const auto local = m_scope.imports.find(e.text);
        const Symbol symbol = local != m_scope.imports.end()
                                  ? local->second
                                  : m_scope.function.package->lookup(*m_scope.function.module, e.text);
        if (symbol.kind != Symbol::Kind::value || symbol.value == nullptr) return {};
        const FunctionSource owner{m_scope.function.package, symbol.module, nullptr, false, false};
        return known(*symbol.value, Scope{owner, {}, {}, {}, {}});
    }

    // Each is computed once; one that stands on itself is none.
    Known known(const Expression& value, const Scope& scope) {
        const auto [place, is_new] = m_known->try_emplace(&value);
        constexpr int deepest = 20;
        if (!is_new || m_depth >= deepest) return place->second;
        Arithmetic there(scope);
        there.m_known = m_known;
        there.m_depth = m_depth + 1;
        const Known result = there.value(value);
        return (*m_known)[&value] = result;
    }

    Known whole(const Expression& e, Whole result) const {
        if (result < std::numeric_limits<std::int64_t>::min() ||
            result > std::numeric_limits<std::int64_t>::max()) {
            refuse_at(e, "the value of " + e.text + " is beyond the 64 bits of TorchScript's whole numbers");
        }
        return Known::of(static_cast<std::int64_t>(result));
    }

    Known unary(const Expression& e, const Known& part) const {
        if (part.type == Known::Type::none || e.text == "not") return {};
        if (e.text == "+") return part;
        if (part.type == Known::Type::real) return e.text == "-" ? Known::of_real(-part.real) : Known();
        return e.text == "-" ? whole(e, -Whole(part.whole)) : Known::of(~part.whole);
    }

    Known binary(const Expression& e, const Known& left, const Known& right) const {
        if (left.type == Known::Type::none || right.type == Known::Type::none) return {};
        const bool divides = e.text == "/" || e.text == "//" || e.text == "%";
        if (divides && right.real == 0) refuse_at(e, "a division of constants by zero");
        const bool real = left.type == Known::Type::real || right.type == Known::Type::real;
        if (real || e.text == "/") return of_reals(e.text, left.real, right.real);
        const std::int64_t a = left.whole;
        const std::int64_t b = right.whole;
        if (e.text == "+") return whole(e, Whole(a) + b);
        if (e.text == "-") return whole(e, Whole(a) - b);
        if (e.text == "*") return whole(e, Whole(a) * b);
        if (e.text == "//") return whole(e, floor_of(a, b));
        if (e.text == "%") return whole(e, Whole(a) - floor_of(a, b) * b);
        if (e.text == "&") return Known::of(a & b);
        if (e.text == "|") return Known::of(a | b);
        if (e.text == "^") return Known::of(a ^ b);
        if (e.text == "**" && b >= 0) return whole(e, power(a, b));
        if (e.text != "<<" && e.text != ">>") return {};
        if (b < 0) refuse_at(e, "a shift of constants by a negative number");
        constexpr std::int64_t most = 63;
        if (e.text == ">>") return Known::of(a >> std::min(b, most));
        return a == 0 ? Known::of(0) : whole(e, Whole(a) * (Whole(1) << std::min(b, most + 1)));
    }

    static Known of_reals(const std::string& op, double a, double b) {
        if (op == "+") return Known::of_real(a + b);
        if (op == "-") return Known::of_real(a - b);
        if (op == "*") return Known::of_real(a * b);
        if (op == "/") return Known::of_real(a / b);
        return {};
    }

    static Whole floor_of(std::int64_t a, std::int64_t b) {
        const Whole quotient = Whole(a) / b;
        return Whole(a) % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
    }

    // What is beyond 64 bits stays beyond.
    static Whole power(Whole base, std::int64_t exponent) {
        if (base == 0 || base == 1) return exponent == 0 ? 1 : base;
        if (base == -1) return exponent % 2 == 0 ? 1 : -1;
        constexpr Whole beyond = Whole(1) << 64;
        Whole result = 1;
        for (; exponent > 0 && result < beyond && result > -beyond; --exponent)
            result *= base;
        return result;
    }

    const Scope& m_scope;
    std::shared_ptr<std::map<const Expression*, Known>> m_known =
        std::make_shared<std::map<const Expression*, Known>>();
    int m_depth = 0;  // of constants that stand for constants
};

}  // namespace

void require_equal_arithmetic(const Expression& expression, const Scope& scope) {
    Arithmetic(scope).value(expression);
}

std::optional<std::int64_t> known_whole(const Expression& expression, const Scope& scope) {
    const Known known = Arithmetic(scope).value(expression);
    return known.type == Known::Type::whole ? std::optional(known.whole) : std::nullopt;
}

bool is_harmless_divisor(const Expression& divisor) {
    return divisor.kind == Expr::number && divisor.text.find_first_of("123456789") != std::string::npos;
}

}  // namespace kernels::source
