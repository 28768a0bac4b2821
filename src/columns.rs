//! Words in lines of so many columns, for what is read at a terminal.

use std::fmt::Write;

/// The columns of a terminal that has the fewest, but one: some go to the next line when the last is written.
pub const WIDTH: usize = 79;

/// Words in lines that begin with so many blanks and end before the last column.
pub fn indented(words: &str, blanks: usize) -> String {
    let mut text = String::new();
    for line in wrapped(words, WIDTH - blanks) {
        // Writing to a string can not fail.
        let _ = writeln!(text, "{:blanks$}{line}", "");
    }
    text
}

/// Words in lines of at most so many columns; a longer word has a line of its own.
pub fn wrapped(words: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_never_cut() {
        assert_eq!(wrapped("a bc def", 4), ["a bc", "def"]);
        assert_eq!(wrapped("abcdef g", 4), ["abcdef", "g"]);
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(indented("a b", 2), "  a b\n");
    }
}
