//! Errors of the system in words.

use std::io;

use rustix::io::Errno;

/// Whether an error says that this process or the whole system has no descriptor left.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    let all = [Errno::MFILE, Errno::NFILE].map(|errno| errno.raw_os_error());
    error
        .raw_os_error()
        .is_some_and(|errno| all.contains(&errno))
}

/// The system's reason of an error, in lower case and without its number: `connection refused`.
pub fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = match text.find(" (os error ") {
        Some(at) => &text[..at],
        None => &text,
    };
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        // An abbreviation keeps its capitals.
        (Some(_), Some(second)) if second.is_uppercase() => text.to_owned(),
        (Some(first), _) => first.to_lowercase().chain(chars).collect(),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_reason_has_no_number_and_no_capital() {
        let text = |code| errno_text(&io::Error::from_raw_os_error(code));
        assert_eq!(text(111), "connection refused");
        assert_eq!(text(5), "input/output error");
    }
}
