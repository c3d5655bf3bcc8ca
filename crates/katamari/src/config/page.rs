//! The text of a configuration file, and what is wrong with it.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Problems that are shown; whoever has more is helped by the first ones.
const PROBLEMS_SHOWN_MAX: usize = 20;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// Where in the tables, such as `program.parse.timeout`; empty if the text is not TOML.
    pub key: String,
    /// What was expected, what came, what to do.
    pub message: String,
    /// The line as it stands in the file.
    source: String,
}

/// Everything that is wrong with a file, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file.
    pub file: PathBuf,
    /// At least one.
    pub list: Vec<Problem>,
}

impl fmt::Display for Problems {
    /// Each as `file:line:column: key: message`, with its line below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().take(PROBLEMS_SHOWN_MAX).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let Problem {
                line,
                column,
                key,
                message,
                source,
            } = problem;
            write!(f, "{}:{line}:{column}: ", self.file.display())?;
            if !key.is_empty() {
                write!(f, "{key}: ")?;
            }
            writeln!(f, "{message}")?;
            writeln!(f, "  {line} | {source}")?;
            let gutter = line.to_string().len();
            let indent: String = source.chars().take(column - 1).map(blank).collect();
            write!(f, "  {:gutter$} | {indent}^", "")?;
        }
        let hidden = self.list.len().saturating_sub(PROBLEMS_SHOWN_MAX);
        if hidden > 0 {
            write!(f, "\nand {hidden} more")?;
        }
        Ok(())
    }
}

/// What to put below a character so that the marker stands in its column.
fn blank(character: char) -> char {
    if character == '\t' { '\t' } else { ' ' }
}

/// Where the text comes from, and the problems found so far.
pub struct Page<'t> {
    file: &'t Path,
    text: &'t str,
    variable: &'t dyn Fn(&str) -> Option<String>,
    problems: RefCell<Vec<Problem>>,
}

impl<'t> Page<'t> {
    /// A page without problems so far. `variable` looks names up in the environment.
    pub fn new(
        file: &'t Path,
        text: &'t str,
        variable: &'t dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            file,
            text,
            variable,
            problems: RefCell::default(),
        }
    }

    /// The value of an environment variable.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name)
    }

    /// A piece of the text.
    pub fn excerpt(&self, span: &Range<usize>) -> &'t str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// Notes a problem at a place in the text.
    pub fn report(&self, span: &Range<usize>, key: &str, message: impl Into<String>) {
        let start = self.text.floor_char_boundary(span.start);
        let before = &self.text.as_bytes()[..start];
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let source = self.text[line_start..].lines().next().unwrap_or_default();
        self.problems.borrow_mut().push(Problem {
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            key: key.to_owned(),
            message: message.into(),
            source: source.to_owned(),
        });
    }

    /// How many problems there are so far.
    pub fn problem_count(&self) -> usize {
        self.problems.borrow().len()
    }

    /// The result, if nothing is wrong with the page it was read from.
    pub fn close<T>(self, result: Option<T>) -> Result<T, Problems> {
        let mut list = self.problems.into_inner();
        list.sort_by_key(|problem| (problem.line, problem.column));
        match result {
            Some(result) if list.is_empty() => Ok(result),
            _ => Err(Problems {
                file: self.file.to_owned(),
                list,
            }),
        }
    }
}
