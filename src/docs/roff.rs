//! A manual page as roff has it: the macros of man(7) and text that they take for nothing else.

use std::fmt::Write;

use crate::columns::wrapped;

/// The day of the pages.
const DATE: &str = "2026-11-21";

/// A page that is being written.
pub(super) struct Page {
    text: String,
}

impl Page {
    /// Begins a page with its name and one line that says what it is of.
    pub(super) fn new(name: &str, section: u8, manual: &str, what: &str) -> Page {
        let version = env!("CARGO_PKG_VERSION");
        let text = format!(
            ".\\\" Written by the program itself: wsbridge --generate\n\
             .TH {name} {section} {DATE} \"wsbridge {version}\" \"{manual}\"\n"
        );
        let mut page = Page { text };
        page.section("NAME");
        page.text += &format!("{} \\- {}\n", escaped(name), escaped(what));
        page
    }

    pub(super) fn section(&mut self, title: &str) {
        self.line(&format!(".SH {}", quoted(title)));
    }

    pub(super) fn subsection(&mut self, title: &str) {
        self.line(&format!(".SS {}", quoted(title)));
    }

    /// A paragraph of its own.
    pub(super) fn paragraph(&mut self, words: &str) {
        self.begin();
        self.words(words);
    }

    /// A paragraph below a bold head.
    pub(super) fn tagged(&mut self, head: &str, words: &str) {
        self.line(".TP");
        self.line(&format!("\\fB{}\\fR", escaped(head)));
        self.words(words);
    }

    /// The head of an option: its names bold, its value slanted.
    pub(super) fn option(&mut self, names: &[String], value: &str, words: &str) {
        let names = names
            .iter()
            .map(|name| format!("\\fB{}\\fR", escaped(name)));
        let names = names.collect::<Vec<_>>().join(", ");
        let joint = match value.find('=') {
            Some(at) if value[..at].is_empty() || &value[..at] == "[" => &value[..=at],
            _ if value.is_empty() => "",
            _ => " ",
        };
        let value = value.strip_prefix(joint).unwrap_or(value);
        let value = match value {
            "" => String::new(),
            value => format!("{joint}\\fI{}\\fR", escaped(value)),
        };
        self.line(".TP");
        self.line(&(names + &value));
        self.words(words);
    }

    /// A further paragraph of what stands below a head.
    pub(super) fn more(&mut self, words: &str) {
        self.line(".IP");
        self.words(words);
    }

    /// Lines as they are.
    pub(super) fn lines<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) {
        self.begin();
        self.line(".RS 4\n.EX");
        for line in lines {
            // roff wants an empty line said.
            let empty = "\\&".to_owned();
            self.line(&if line.is_empty() {
                empty
            } else {
                escaped(line)
            });
        }
        self.line(".EE\n.RE");
    }

    /// A page of help: paragraphs, and lines as they are where they begin with two blanks. Its first line is a title.
    pub(super) fn prose(&mut self, text: &str) {
        let body = text.split_once('\n').map_or(text, |(_, body)| body);
        for block in body.split("\n\n") {
            let is_shown = |line: &&str| line.starts_with("  ");
            let lines: Vec<_> = block.lines().filter(|line| !line.is_empty()).collect();
            for group in lines.chunk_by(|one, next| is_shown(one) == is_shown(next)) {
                if is_shown(&group[0]) {
                    self.lines(group.iter().map(|line| &line[2..]));
                } else {
                    self.paragraph(&group.join(" "));
                }
            }
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    /// Begins a paragraph; the first below a title has begun with it.
    fn begin(&mut self) {
        let last = self.text.lines().next_back().unwrap_or_default();
        if !last.starts_with(".SH") && !last.starts_with(".SS") {
            self.line(".PP");
        }
    }

    fn words(&mut self, words: &str) {
        for line in wrapped(words, 100) {
            self.line(&escaped(&line));
        }
    }

    fn line(&mut self, line: &str) {
        // Writing to a string can not fail.
        let _ = writeln!(self.text, "{line}");
    }
}

fn quoted(title: &str) -> String {
    format!("\"{}\"", escaped(title))
}

/// Text in which nothing is a request or another character than the one that was meant (groff_char(7)).
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    if text.starts_with(['.', '\'']) {
        escaped += "\\&";
    }
    for character in text.chars() {
        match character {
            '\\' => escaped += "\\e",
            '-' => escaped += "\\-",
            '\'' => escaped += "\\(aq",
            '"' => escaped += "\\(dq",
            '`' => escaped += "\\(ga",
            '^' => escaped += "\\(ha",
            '~' => escaped += "\\(ti",
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_what_it_is() {
        assert_eq!(escaped("--x 'a\\n'"), "\\-\\-x \\(aqa\\en\\(aq");
        assert_eq!(escaped(".TH"), "\\&.TH");
    }

    #[test]
    fn prose_tells_lines_from_paragraphs() {
        let mut page = Page {
            text: String::new(),
        };
        page.prose("TITLE\n\nOne\ntwo.\n  shown\n  as it is\n");
        assert_eq!(
            page.finish(),
            ".PP\nOne two.\n.PP\n.RS 4\n.EX\nshown\nas it is\n.EE\n.RE\n"
        );
    }
}
