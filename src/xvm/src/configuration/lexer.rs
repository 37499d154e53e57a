//! The words of `fence_virt.conf`. Invariant: the texts of all tokens, with what stands before each, are the file.

use super::{SyntaxError, Token, unexpected};

/// What kind of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// A name.
    Word,
    /// Something in quotation marks.
    Text,
    /// `{`
    Open,
    /// `}`
    Close,
    /// `=`
    Equals,
    /// `;`
    Semicolon,
    /// The end of the file.
    End,
}

/// Where in the file we are.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1 }
    }

    /// How long what may stand between two tokens is: blanks, and comments up to the end of their line.
    fn blank(&self) -> usize {
        let mut length = 0;
        loop {
            let rest = &self.rest[length..];
            length += rest.len() - rest.trim_start_matches(is_blank).len();
            if !self.rest[length..].starts_with('#') {
                return length;
            }
            length += self.rest[length..].find('\n').unwrap_or(self.rest.len() - length);
        }
    }

    /// What comes next, without taking it.
    pub(super) fn peek(&self) -> Sort {
        sort(&self.rest[self.blank()..])
    }

    /// Takes the next token. The end can be taken any number of times.
    pub(super) fn next(&mut self) -> Result<(Sort, Token), SyntaxError> {
        let before = self.take(self.blank());
        let line = self.line;
        let sort = sort(self.rest);
        let length = match sort {
            Sort::End => 0,
            Sort::Open | Sort::Close | Sort::Equals | Sort::Semicolon => 1,
            Sort::Word => {
                self.rest.find(|c| is_blank(c) || "{};=\"".contains(c)).unwrap_or(self.rest.len())
            }
            Sort::Text => match self.rest[1..].find('"') {
                None => return Err(failed(line, "a quotation mark is not closed")),
                Some(0) => {
                    return Err(failed(
                        line,
                        "a value cannot be empty (leave it out for the default)",
                    ));
                }
                Some(length) => length + 2,
            },
        };
        Ok((sort, Token { before, text: self.take(length), line }))
    }

    /// Takes the next token, which has to be of this sort.
    pub(super) fn expect(&mut self, wanted: Sort, what: &str) -> Result<Token, SyntaxError> {
        let (sort, token) = self.next()?;
        if sort == wanted { Ok(token) } else { Err(unexpected(&token, what)) }
    }

    fn take(&mut self, length: usize) -> String {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.line += taken.matches('\n').count();
        taken.to_owned()
    }
}

/// A carriage return too, so that a file written elsewhere can be read.
fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r')
}

fn sort(rest: &str) -> Sort {
    match rest.chars().next() {
        None => Sort::End,
        Some('{') => Sort::Open,
        Some('}') => Sort::Close,
        Some('=') => Sort::Equals,
        Some(';') => Sort::Semicolon,
        Some('"') => Sort::Text,
        Some(_) => Sort::Word,
    }
}

fn failed(line: usize, what: &str) -> SyntaxError {
    SyntaxError { line, what: what.to_owned() }
}
