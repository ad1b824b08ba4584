//! The grammar of label selectors.

use std::iter::Peekable;

use super::{Error, Operator, Requirement, invalid_key};
use crate::field::Path;

/// The operators as upstream lists them (though it reads `>` and `<`).
const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    Symbol,
    End,
}

pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, Error> {
    Parser { tokens: Tokens { rest: text }.peekable() }.selector()
}

struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    /// Never ends: after the text come end tokens.
    fn next(&mut self) -> Option<Token<'a>> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let is_symbol = |c: char| "=!(),><".contains(c);
        let is_blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        let (kind, len) = match self.rest.chars().next() {
            None => (Kind::End, 0),
            Some(c) if is_symbol(c) => {
                let double = ["==", "!="].iter().any(|symbol| self.rest.starts_with(symbol));
                (Kind::Symbol, if double { 2 } else { 1 })
            }
            Some(_) => {
                (Kind::Word, self.rest.find(|c| is_symbol(c) || is_blank(c)).unwrap_or(self.rest.len()))
            }
        };
        let (text, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(Token { kind, text })
    }
}

struct Parser<'a> {
    tokens: Peekable<Tokens<'a>>,
}

impl<'a> Parser<'a> {
    fn peek(&mut self) -> Token<'a> {
        *self.tokens.peek().expect("the tokens never end")
    }

    fn next(&mut self) -> Token<'a> {
        self.tokens.next().expect("the tokens never end")
    }

    fn at_end_of_requirement(&mut self) -> bool {
        let token = self.peek();
        token.kind == Kind::End || token.text == ","
    }

    fn selector(mut self) -> Result<Vec<Requirement>, Error> {
        let mut requirements = Vec::new();
        loop {
            let token = self.peek();
            if token.kind == Kind::End {
                return Ok(requirements);
            }
            if token.kind != Kind::Word && token.text != "!" {
                return found(token, ", expected: !, identifier, or 'end of string'");
            }
            let requirement = self
                .requirement()
                .map_err(|Error(error)| Error(format!("unable to parse requirement: {error}")))?;
            requirements.push(requirement);
            let token = self.next();
            match (token.kind, token.text) {
                (Kind::End, _) => return Ok(requirements),
                (_, ",") => {
                    let token = self.peek();
                    if token.kind != Kind::Word && token.text != "!" {
                        return found(token, ", expected: identifier after ','");
                    }
                }
                _ => return found(token, ", expected: ',' or 'end of string'"),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, Error> {
        let mut token = self.next();
        let negated = token.text == "!";
        if negated {
            token = self.next();
        }
        if token.kind != Kind::Word {
            return found(token, ", expected: identifier");
        }
        let key = token.text;
        if let Some(error) = invalid_key(key, &Path::root()) {
            return Err(Error(error.to_string()));
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, vec![]);
        }
        if self.at_end_of_requirement() {
            return Requirement::new(key, Operator::Exists, vec![]);
        }
        let operator = self.operator()?;
        let mut values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        // A set in text form; that of typed selectors is a list.
        values.sort_unstable();
        values.dedup();
        Requirement::new(key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, Error> {
        let token = self.next();
        Ok(match token.text {
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            "=" => Operator::Equals,
            "==" => Operator::DoubleEquals,
            "!=" => Operator::NotEquals,
            ">" => Operator::GreaterThan,
            "<" => Operator::LessThan,
            _ => return found(token, &format!(", expected: {OPERATORS}")),
        })
    }

    /// `(a,b)`; an empty place between commas or parentheses is the empty value.
    fn values(&mut self) -> Result<Vec<String>, Error> {
        let open = self.next();
        if open.text != "(" {
            return found(open, " expected: '('");
        }
        let first = self.peek();
        if first.kind != Kind::Word && !matches!(first.text, "," | ")") {
            return found(first, ", expected: ',', ')' or identifier");
        }
        let mut values = Vec::new();
        loop {
            values.push(if self.peek().kind == Kind::Word {
                self.next().text.to_owned()
            } else {
                String::new()
            });
            let separator = self.next();
            match separator.text {
                "," => {}
                ")" => return Ok(values),
                _ => return found(separator, ", expected: ',' or ')'"),
            }
        }
    }

    fn exact_value(&mut self) -> Result<String, Error> {
        if self.at_end_of_requirement() {
            return Ok(String::new());
        }
        let token = self.next();
        if token.kind == Kind::Word {
            Ok(token.text.to_owned())
        } else {
            found(token, ", expected: identifier")
        }
    }
}

fn found<T>(token: Token<'_>, expected: &str) -> Result<T, Error> {
    Err(Error(format!("found '{}'{expected}", token.text)))
}
