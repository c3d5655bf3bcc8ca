//! Colours, on a terminal and nowhere else.

use std::io::{IsTerminal, Write};

/// Whether to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style(bool);

/// For stdout. `NO_COLOR` turns colours off (no-color.org).
pub fn of_stdout() -> Style {
    Style(wanted() && std::io::stdout().is_terminal())
}

fn of_stderr() -> Style {
    Style(wanted() && std::io::stderr().is_terminal())
}

fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

impl Style {
    /// No colours.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self(false)
    }

    /// What matters most.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What matters less.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// What is wrong.
    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// What is well.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What needs an eye on it.
    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A text of a worker's, without what could move the cursor or change the terminal.
pub fn clean(text: &str) -> String {
    let visible = |c: char| {
        if c.is_control() && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(visible).collect()
}

/// Prints an error on stderr.
pub fn complain(message: &str) {
    // Without stderr the exit status alone has to do.
    let _ = writeln!(std::io::stderr(), "{} {message}", of_stderr().red("error:"));
}

/// Prints a warning on stderr.
pub fn warn(message: &str) {
    let style = of_stderr();
    let _ = writeln!(std::io::stderr(), "{} {message}", style.yellow("warning:"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_cannot_command_the_terminal() {
        assert_eq!(
            clean("a\tb\x1b[2Jc\r\u{9b}1m"),
            "a\tb\u{fffd}[2Jc\u{fffd}\u{fffd}1m"
        );
    }
}
