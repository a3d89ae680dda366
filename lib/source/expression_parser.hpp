// The expressions of Python's grammar.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "syntax.hpp"
#include "tokens.hpp"

namespace kernels::source {

/// Reads tokens from a position on. Trees are at most `deepest` levels deep, whatever the source is.
class ExpressionParser {
  public:
    ExpressionParser(const std::vector<Token>& tokens, const std::string& file, std::size_t depth = 0)
        : m_tokens(tokens), m_file(file), m_depth(depth) {}

    /// One expression, no tuple without brackets.
    ExpressionPtr expression();
    /// One expression, or several with commas: a tuple. `*x` is allowed.
    ExpressionPtr expressions();
    /// What may stand left of `in` or `=`.
    ExpressionPtr targets();
    /// One of these.
    ExpressionPtr target();

  protected:
    const Token& peek(std::size_t ahead = 0) const;
    bool at(std::string_view text) const { return is(peek(), text); }
    static bool is(const Token& token, std::string_view text);
    bool accept(std::string_view text);
    void expect(std::string_view text);
    std::string expect_name();
    [[noreturn]] void unexpected() const;
    const std::string& file() const { return m_file; }
    std::size_t m_at = 0;

  private:
    /// Levels of a tree; TorchScript's compiler recurses over it as well.
    static constexpr std::size_t deepest = 150;
    /// Counts the calls that are under way.
    struct Depth {
        explicit Depth(ExpressionParser& owner);
        ~Depth() { --parser.m_depth; }
        Depth(const Depth&) = delete;
        Depth& operator=(const Depth&) = delete;
        ExpressionParser& parser;
    };
    static bool is_keyword(std::string_view name);
    ExpressionPtr make(Expression::Kind kind, std::string text) const;
    void add(Expression& parent, ExpressionPtr part) const;
    ExpressionPtr join(Expression::Kind kind, std::string text, ExpressionPtr left, ExpressionPtr right);
    ExpressionPtr several(ExpressionPtr (ExpressionParser::*one)());
    bool ends_expressions() const;
    ExpressionPtr unsupported(std::string what) const {
        return make(Expression::Kind::unsupported, std::move(what));
    }
    ExpressionPtr star_or_expression();
    ExpressionPtr lambda();
    ExpressionPtr boolean_or();
    ExpressionPtr boolean_and();
    ExpressionPtr boolean_not();
    ExpressionPtr comparison();
    std::string comparison_operator();
    ExpressionPtr binary(int level);
    ExpressionPtr unary();
    ExpressionPtr primary();
    ExpressionPtr atom();
    ExpressionPtr number(const Token& token) const;
    ExpressionPtr string();
    void format(const Token& token, Expression& out);
    ExpressionPtr bracketed();
    ExpressionPtr braces();
    ExpressionPtr comprehension(ExpressionPtr element, const std::string& what);
    void arguments(Expression& call);
    ExpressionPtr index();
    ExpressionPtr index_item();

    const std::vector<Token>& m_tokens;
    const std::string& m_file;
    std::size_t m_depth;
};

}  // namespace kernels::source
