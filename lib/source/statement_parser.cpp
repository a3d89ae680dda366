// The statements of Python's grammar.
#include "expression_parser.hpp"
#include "kernels/core/text.hpp"

namespace kernels::source {
namespace {

constexpr std::size_t deepest_blocks = 40;
constexpr std::size_t most_elifs = 120;  // of elifs: each stands in the otherwise of the one in front

class StatementParser : public ExpressionParser {
  public:
    using ExpressionParser::ExpressionParser;

    Block file_block() {
        Block block;
        while (peek().kind != TokenKind::end) {
            if (peek().kind == TokenKind::indent || peek().kind == TokenKind::dedent) unexpected();
            if (peek().kind == TokenKind::newline) {
                ++m_at;
            } else {
                statement(block);
            }
        }
        return block;
    }

  private:
    static StatementPtr make(Stmt kind, int line, std::string text = {}) {
        auto made = std::make_unique<Statement>();
        made->kind = kind;
        made->line = line;
        made->text = std::move(text);
        return made;
    }

    Block block() {
        if (++m_blocks > deepest_blocks) refuse(file(), peek().line, "the blocks are nested too deeply");
        Block inner;
        expect(":");
        if (peek().kind == TokenKind::newline) {
            ++m_at;
            if (peek().kind != TokenKind::indent) refuse(file(), peek().line, "an indented block is missing");
            ++m_at;
            while (peek().kind != TokenKind::dedent && peek().kind != TokenKind::end)
                statement(inner);
            if (peek().kind == TokenKind::dedent) ++m_at;
        } else {
            simple_statements(inner);
        }
        --m_blocks;
        return inner;
    }

    void statement(Block& into) {
        std::vector<ExpressionPtr> decorators;
        while (accept("@")) {
            decorators.push_back(expression());
            end_line();
        }
        const int line = peek().line;
        if (at("async")) {
            ++m_at;
            Block inner;
            statement(inner);
            into.push_back(make(Stmt::unsupported, line, "async"));
        } else if (at("def")) {
            into.push_back(function(std::move(decorators)));
        } else if (at("class")) {
            into.push_back(class_(std::move(decorators)));
        } else if (!decorators.empty()) {
            unexpected();
        } else if (at("if") || at("while")) {
            into.push_back(conditional(at("if") ? Stmt::if_ : Stmt::while_));
        } else if (at("for")) {
            auto made = make(Stmt::for_, line);
            ++m_at;
            made->values.push_back(targets());
            expect("in");
            made->values.push_back(expressions());
            made->body = block();
            if (accept("else")) made->otherwise = block();
            into.push_back(std::move(made));
        } else if (at("with")) {
            into.push_back(with());
        } else if (at("try")) {
            into.push_back(try_());
        } else if (is_match()) {
            into.push_back(make(Stmt::unsupported, line, "match"));
            skip_compound();
        } else {
            simple_statements(into);
        }
    }

    // `match` is a name elsewhere: only where an indented block follows is it the statement.
    bool is_match() const {
        if (!at("match")) return false;
        std::size_t ahead = 1;
        while (peek(ahead).kind != TokenKind::newline && peek(ahead).kind != TokenKind::end)
            ++ahead;
        return ahead > 2 && is(peek(ahead - 1), ":") && peek(ahead + 1).kind == TokenKind::indent;
    }

    void skip_compound() {
        while (peek().kind != TokenKind::indent)
            ++m_at;
        int depth = 0;
        do {
            if (peek().kind == TokenKind::indent) ++depth;
            if (peek().kind == TokenKind::dedent) --depth;
            ++m_at;
        } while (depth > 0 && peek().kind != TokenKind::end);
    }

    StatementPtr conditional(Stmt kind) {
        auto made = make(kind, peek().line);
        ++m_at;
        made->values.push_back(expression());
        made->body = block();
        if (kind == Stmt::if_ && at("elif")) {
            if (++m_elifs > most_elifs) refuse(file(), peek().line, "the blocks are nested too deeply");
            made->otherwise.push_back(conditional(kind));
            --m_elifs;
        } else if (accept("else")) {
            made->otherwise = block();
        }
        return made;
    }

    StatementPtr with() {
        auto made = make(Stmt::with, peek().line);
        ++m_at;
        const bool brackets = at("(") && names_in_brackets();
        if (brackets) ++m_at;
        do {
            if (brackets && at(")")) break;
            made->values.push_back(expression());
            if (accept("as")) {
                target();
                made->text = "as";
            }
        } while (accept(","));
        if (brackets) expect(")");
        made->body = block();
        return made;
    }

    // `with (a as b, c as d):` and not `with (a):` or `with (a, b)[0]:`
    bool names_in_brackets() const {
        int depth = 0;
        for (std::size_t ahead = 0;; ++ahead) {
            const Token& token = peek(ahead);
            if (token.kind == TokenKind::newline || token.kind == TokenKind::end) return false;
            if (depth == 1 && is(token, "as")) return true;
            if (token.kind != TokenKind::op) continue;
            if (is(token, "(") || is(token, "[") || is(token, "{")) ++depth;
            if ((is(token, ")") || is(token, "]") || is(token, "}")) && --depth == 0) return false;
        }
    }

    StatementPtr try_() {
        auto made = make(Stmt::try_, peek().line);
        ++m_at;
        made->body = block();
        while (at("except") || at("finally")) {
            const bool is_except = accept("except");
            if (!is_except) ++m_at;
            if (is_except && !at(":")) {
                accept("*");
                expressions();
                if (accept("as")) expect_name();
            }
            for (auto& one : block())
                made->handlers.push_back(std::move(one));
        }
        if (accept("else")) made->otherwise = block();
        if (accept("finally")) {
            for (auto& one : block())
                made->handlers.push_back(std::move(one));
        }
        return made;
    }

    StatementPtr function(std::vector<ExpressionPtr> decorators) {
        auto made = make(Stmt::function, peek().line);
        ++m_at;
        made->text = expect_name();
        made->decorators = std::move(decorators);
        type_parameters();
        expect("(");
        bool keyword_only = false;
        bool positional_only_ended = false;
        while (!at(")")) {
            Parameter parameter;
            parameter.line = peek().line;
            parameter.keyword_only = keyword_only;
            parameter.stars = accept("**") ? 2 : accept("*") ? 1 : 0;
            keyword_only = keyword_only || parameter.stars == 1;
            // A lone * or / says how callers pass the others.
            const bool slash = parameter.stars == 0 && accept("/");
            if (slash && !positional_only_ended) {
                positional_only_ended = true;
                for (auto& before : made->parameters)
                    before.positional_only = true;
            }
            const bool lone = slash || (parameter.stars == 1 && at(","));
            if (!lone) {
                parameter.name = expect_name();
                if (accept(":")) {
                    accept("*");
                    parameter.annotation = expression();
                }
                if (accept("=")) parameter.value = expression();
                made->parameters.push_back(std::move(parameter));
            }
            if (!accept(",") && !at(")")) unexpected();
        }
        ++m_at;
        if (accept("->")) made->returns = expression();
        made->body = block();
        return made;
    }

    // `[T: int, *Ts]` of generic functions and classes.
    void type_parameters() {
        if (!accept("[")) return;
        while (!accept("]")) {
            if (peek().kind == TokenKind::end || peek().kind == TokenKind::newline) unexpected();
            ++m_at;
        }
    }

    StatementPtr class_(std::vector<ExpressionPtr> decorators) {
        auto made = make(Stmt::class_, peek().line);
        ++m_at;
        made->text = expect_name();
        made->decorators = std::move(decorators);
        type_parameters();
        if (accept("(")) {
            while (!at(")")) {
                if (peek().kind == TokenKind::name && is(peek(1), "=")) m_at += 2;  // metaclass=…
                accept("*") || accept("**");
                made->values.push_back(expression());
                if (!accept(",") && !at(")")) unexpected();
            }
            ++m_at;
        }
        made->body = block();
        return made;
    }

    void end_line() {
        if (peek().kind == TokenKind::end) return;
        if (peek().kind != TokenKind::newline) unexpected();
        ++m_at;
    }

    void simple_statements(Block& into) {
        do {
            if (peek().kind == TokenKind::newline) break;
            into.push_back(simple_statement());
        } while (accept(";"));
        end_line();
    }

    bool ends() const {
        return peek().kind == TokenKind::newline || peek().kind == TokenKind::end || at(";");
    }

    StatementPtr simple_statement() {
        const int line = peek().line;
        static const std::vector<std::pair<std::string_view, Stmt>> words = {
            {"pass", Stmt::pass},      {"break", Stmt::break_},  {"continue", Stmt::continue_},
            {"return", Stmt::return_}, {"raise", Stmt::raise},   {"assert", Stmt::assert_},
            {"del", Stmt::delete_},    {"import", Stmt::import}, {"from", Stmt::from_import}};
        for (const auto& [word, kind] : words) {
            if (!accept(word)) continue;
            auto made = make(kind, line);
            switch (kind) {
                case Stmt::import:
                    import(*made);
                    break;
                case Stmt::from_import:
                    from_import(*made);
                    break;
                case Stmt::assert_:
                    made->values.push_back(expression());
                    if (accept(",")) made->values.push_back(expression());
                    break;
                case Stmt::return_:
                case Stmt::raise:
                case Stmt::delete_:
                    if (!ends()) made->values.push_back(expressions());
                    if (kind == Stmt::raise && accept("from")) expression();
                    break;
                default:
                    break;
            }
            return made;
        }
        if (at("global") || at("nonlocal")) {
            auto made = make(Stmt::unsupported, line, peek().text);
            while (!ends())
                ++m_at;
            return made;
        }
        return assignment(line);
    }

    StatementPtr assignment(int line) {
        auto made = make(Stmt::expression, line);
        made->values.push_back(expressions());
        if (accept(":")) {
            made->kind = Stmt::annotate;
            made->values.push_back(expression());
            if (accept("=")) made->values.push_back(expressions());
            return made;
        }
        const Token& token = peek();
        if (token.kind == TokenKind::op && token.text.size() > 1 && token.text.back() == '=' &&
            token.text != "==" && token.text != "!=" && token.text != "<=" && token.text != ">=" &&
            token.text != ":=") {
            made->kind = Stmt::augment;
            made->text = token.text;
            ++m_at;
            made->values.push_back(expressions());
            return made;
        }
        while (accept("=")) {
            made->kind = Stmt::assign;
            made->values.push_back(expressions());
        }
        return made;
    }

    std::string module_name() {
        std::string name = expect_name();
        while (accept("."))
            name += "." + expect_name();
        return name;
    }

    void import(Statement& made) {
        do {
            Statement::Alias alias{module_name(), {}};
            if (accept("as")) alias.as = expect_name();
            made.names.push_back(std::move(alias));
        } while (accept(","));
    }

    void from_import(Statement& made) {
        while (at(".") || at("...")) {
            made.text += peek().text;
            ++m_at;
        }
        if (!at("import")) made.text += module_name();
        expect("import");
        if (accept("*")) {
            made.names.push_back({"*", "*"});
            return;
        }
        const bool brackets = accept("(");
        do {
            if (brackets && at(")")) break;
            Statement::Alias alias{expect_name(), {}};
            alias.as = accept("as") ? expect_name() : alias.name;
            made.names.push_back(std::move(alias));
        } while (accept(","));
        if (brackets) expect(")");
    }

    std::size_t m_blocks = 0;
    std::size_t m_elifs = 0;
};

}  // namespace

Block parse(std::string_view text, const std::string& file) {
    const auto tokens = tokenize(text, file);
    return StatementParser(tokens, file).file_block();
}

}  // namespace kernels::source
