//! Tables of text: columns as wide as their widest cell.

use super::style::{self, Style};

/// How a cell looks.
pub type Paint = fn(Style, &str) -> String;

/// One cell. Its colour is apart from its text, as colours have no width.
pub struct Cell {
    text: String,
    paint: Paint,
}

/// A table with a heading for each column.
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// A cell without colour.
pub fn plain(text: impl ToString) -> Cell {
    painted(text, |_, text| text.to_owned())
}

/// A cell with a colour.
pub fn painted(text: impl ToString, paint: Paint) -> Cell {
    Cell {
        text: style::clean(&text.to_string()),
        paint,
    }
}

impl Table {
    /// A table without rows.
    pub fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: a cell for each heading.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let cells = cells.into();
        assert_eq!(
            cells.len(),
            self.headings.len(),
            "a row has a cell for each heading"
        );
        self.rows.push(cells);
    }

    /// The lines of the table. The last column is not padded.
    pub fn render(&self, style: Style) -> String {
        let mut widths: Vec<usize> = self.headings.iter().map(|text| width(text)).collect();
        for row in &self.rows {
            for (column, cell) in widths.iter_mut().zip(row) {
                *column = (*column).max(width(&cell.text));
            }
        }
        let mut text = String::new();
        let headings: Vec<_> = self
            .headings
            .iter()
            .map(|text| painted(text, Style::dim))
            .collect();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let mut line = String::new();
            for (cell, column) in row.iter().zip(&widths) {
                line.push_str(&(cell.paint)(style, &cell.text));
                line.extend(std::iter::repeat_n(' ', column - width(&cell.text) + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "STATE", "PROBLEM"]);
        table.row([plain("parse"), painted("running", Style::green), plain("")]);
        table.row([
            plain("x"),
            painted("crash-looping", Style::red),
            plain("exit status 1"),
        ]);
        let expected = "\
NAME   STATE          PROBLEM
parse  running
x      crash-looping  exit status 1
";
        assert_eq!(table.render(Style::plain()), expected);
    }
}
