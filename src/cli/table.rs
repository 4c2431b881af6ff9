//! Tables for people: columns as wide as they need to be, two spaces between them.

use std::fmt;

/// Maximum width of a column, in characters. A longer cell makes only its own line longer.
const WIDEST: usize = 300;

/// A table with a heading.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Makes a table without rows.
    pub(crate) fn new(heading: &[&str]) -> Self {
        let mut table = Self { rows: Vec::new() };
        table.row(heading);
        table
    }

    /// Adds a row. Unprintable characters are escaped, because the text may come from a registry or
    /// a medium.
    pub(crate) fn row(&mut self, cells: &[&str]) {
        let printable = |cell: &&str| cell.escape_debug().to_string().replace("\\'", "'");
        self.rows.push(cells.iter().map(printable).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count()).min(WIDEST);
            }
        }
        for row in &self.rows {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                // Padded by hand: widths in format strings panic beyond 65535.
                let missing = width.saturating_sub(cell.chars().count());
                line.push_str(cell);
                line.push_str(&" ".repeat(missing.saturating_add(2)));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "SIZE", "NOTE"]);
        table.row(&["a-long-name", "1", ""]);
        table.row(&["b\u{1b}[0m", "22", "x"]);
        assert_eq!(
            table.to_string(),
            "NAME         SIZE  NOTE\na-long-name  1\nb\\u{1b}[0m   22    x\n"
        );
    }

    #[test]
    fn a_long_cell_makes_only_its_own_line_long() {
        let mut table = Table::new(&["NAME", "SIZE"]);
        let long = "n".repeat(70_000);
        table.row(&[&long, "1"]);
        table.row(&["b", "2"]);
        let space = |cell: &str| " ".repeat(WIDEST - cell.len() + 2);
        let (name, b) = (space("NAME"), space("b"));
        let expected = format!("NAME{name}SIZE\n{long}  1\nb{b}2\n");
        assert!(table.to_string() == expected);
    }
}
