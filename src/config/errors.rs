use std::fmt;
use std::io;

/// A place in the file; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One thing that is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: Mark,
    /// What, and what would be right.
    pub message: String,
}

/// Why a file is no configuration. Shown as one line for each problem, in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    file: String,
    why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    Unreadable(String),
    Problems(Vec<Problem>),
}

impl ConfigErrors {
    pub(super) fn new(file: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.at, &a.message).cmp(&(b.at, &b.message)));
        problems.dedup();
        Self {
            file: file.to_owned(),
            why: Why::Problems(problems),
        }
    }

    pub(super) fn unreadable(file: &str, error: &io::Error) -> Self {
        Self {
            file: file.to_owned(),
            why: Why::Unreadable(error.to_string()),
        }
    }

    /// The problems in file order; none when the file itself could not be read.
    pub fn problems(&self) -> &[Problem] {
        match &self.why {
            Why::Unreadable(_) => &[],
            Why::Problems(problems) => problems,
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        if let Why::Unreadable(reason) = &self.why {
            return write!(f, "{file}: cannot be read: {reason}");
        }
        for (index, Problem { at, message }) in self.problems().iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{file}:{}:{}: {message}", at.line, at.column)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
