//! The tables as text: what help, man page and README say of endpoints, endings and exit statuses is computed here.

pub mod coming;
mod complete;
mod cookbook;
mod endings;
mod endpoints;
mod examples;
mod help;
mod man;
mod roff;
mod signals;
mod topics;
pub mod websocat;

use clap::Command;

pub use cookbook::{COOKBOOK, Recipe, cookbook, cookbook_markdown};
pub use endings::{endings_markdown, exit_statuses_markdown};
pub use endpoints::endpoints_markdown;
pub use examples::EXAMPLES;
pub use help::{USAGE, short, version};
pub use topics::{TOPICS, Topic, overview, topic};

use endpoints::endpoints_text;
use examples::examples_text;

/// A file that is written out of the tables, committed, and printed by `--generate`.
pub struct Generated {
    /// Its name behind `--generate`.
    pub name: &'static str,
    /// Where it is kept.
    pub path: &'static str,
    /// Writes it; the command has all options.
    pub text: fn(&Command) -> String,
}

/// Every such file.
pub const GENERATED: &[Generated] = &[
    Generated {
        name: "man",
        path: "man/wsbridge.1",
        text: man::man,
    },
    Generated {
        name: "man-cookbook",
        path: "man/wsbridge-cookbook.7",
        text: |_| cookbook(),
    },
    Generated {
        name: "complete-bash",
        path: "completions/wsbridge.bash",
        text: complete::bash,
    },
    Generated {
        name: "complete-zsh",
        path: "completions/_wsbridge",
        text: complete::zsh,
    },
    Generated {
        name: "complete-fish",
        path: "completions/wsbridge.fish",
        text: complete::fish,
    },
];

/// What is shown behind the options of the long help: endpoints and examples.
pub fn after_help() -> String {
    format!("Endpoints:\n{}\n{}", endpoints_text(), examples_text())
}
