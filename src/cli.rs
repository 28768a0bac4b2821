//! The command line: two addresses and flattened groups of options become a plan.

mod explain;
mod spellings;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::address::{Address, AddressError, nearest};
use crate::bridge::{self, Plan};
use crate::docs;
use crate::doctor::Patient;
use crate::endpoint::{self, Endpoint, Scheme, Settings, word_of, ws};
use crate::memory::{self, Memory};
use crate::mistake;
use crate::scheme::{self, SCHEMES};
use crate::secret;
use crate::session;
use crate::variables::Variables;
use crate::word::{Word, joined};
use crate::world::World;

/// Join any two endpoints: WebSocket, TCP, Unix sockets, programs, files ...
#[derive(Parser, Debug)]
#[command(
    name = "wsbridge",
    version,
    disable_help_flag = true,
    long_version = docs::version(),
    about = "Joins any two endpoints: WebSocket, TCP, Unix sockets, programs, files ...",
    after_long_help = docs::after_help(),
    override_usage = docs::USAGE,
    max_term_width = 100,
    arg_required_else_help = true
)]
#[allow(clippy::struct_excessive_bools)]
pub struct Args {
    /// The left side: ws-l:PORT, ws://HOST, tcp:HOST:PORT, unix:PATH, - (stdin and stdout) ...
    #[arg(value_name = "LEFT", required_unless_present_any = ["server", "help", "generate"])]
    left: Option<OsString>,
    /// The right side; without it stdin and stdout are joined to LEFT
    #[arg(value_name = "RIGHT")]
    right: Option<OsString>,
    /// Further addresses of doctor
    #[arg(value_name = "ADDRESS", hide = true)]
    more: Vec<OsString>,
    /// The right side is this program, one for each caller
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    program: Vec<OsString>,
    /// Serve WebSockets on this port for stdin and stdout: ws-l:PORT -
    #[arg(long, short, value_name = "PORT")]
    server: Option<OsString>,
    /// Set an option of one side: left.path=/chat
    #[arg(long = "option", short, value_name = "SIDE.KEY=VALUE")]
    option: Vec<OsString>,
    /// Say in words what would be done, and do nothing
    #[arg(long)]
    explain: bool,
    /// Show every option; with -h, one screen
    #[arg(long, action = ArgAction::SetTrue)]
    help: bool,
    /// Print a file that is made of the same tables as this help: a manual page, or completions for a shell
    #[arg(long, value_name = "WHAT", value_parser = generated_names())]
    generate: Option<String>,
    /// Show one screen of help
    #[arg(short = 'h', action = ArgAction::HelpShort, hide = true)]
    summary: Option<bool>,
    /// Say nothing but errors
    #[arg(
        long,
        short,
        conflicts_with = "verbose",
        help_heading = "Messages of the program"
    )]
    pub quiet: bool,
    /// Say more; twice or three times for even more
    ///
    /// Lines of sessions that have closed are limited to 1000 a second, lines about refused or failed callers to 100; one line
    /// counts the rest. Where stderr is not read nothing waits for it: lines that find no room are counted (help signals).
    #[arg(long, short, action = ArgAction::Count, help_heading = "Messages of the program")]
    pub verbose: u8,
    /// How messages are written
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "text",
        help_heading = "Messages of the program"
    )]
    pub log_format: LogFormat,
    /// The environment variables that options fall back to.
    #[arg(skip)]
    pub variables: Variables,
    #[command(flatten)]
    session: session::Options,
    #[command(flatten)]
    bridge: bridge::Options,
}

fn generated_names() -> PossibleValuesParser {
    PossibleValuesParser::new(docs::GENERATED.iter().map(|file| file.name))
}

/// Cores that doctor does not open, and what is known of them when they could be built.
const LEFT_ALONE: &[(&str, &str)] = &[
    ("-", "stdin and stdout; not opened"),
    ("exec", "there is such a program; not started"),
    ("sh-c", "a shell; not started"),
    ("fd", "a descriptor of ours; not opened"),
    ("file", "a file; not opened"),
];

/// So many of the schemes that take an option are named.
const SHOWN_SCHEMES: usize = 6;

/// How messages are written.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// The whole command: the program's own arguments and those of every endpoint, each once.
pub fn command() -> Command {
    let mut command = Args::command();
    let mut seen = HashSet::new();
    for scheme in SCHEMES {
        for arg in scheme.command().get_arguments() {
            // Of two that are written the same one is a flag.
            if seen.insert(arg.get_long().map(str::to_owned)) {
                command = command.arg(arg.clone());
            }
        }
    }
    spellings::add(command)
}

/// Reads a command line.
///
/// # Errors
/// clap's, help and version included; exit status 2 otherwise.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<(Args, ArgMatches), clap::Error> {
    // Before anything is said of what was typed.
    secret::declare(spellings::secret_keys());
    // websocat's name for what is `--` everywhere else.
    let mut is_program = false;
    let words = words.into_iter().map(|word| match word.to_str() {
        Some("--" | "--exec-args") if !std::mem::replace(&mut is_program, true) => "--".into(),
        _ => word,
    });
    let words: Vec<OsString> = words.collect();
    let command = command();
    let short = docs::short(&command);
    let matches = command.override_help(short).try_get_matches_from(&words);
    let matches = matches.map_err(|error| match error.kind() {
        ErrorKind::MissingRequiredArgument => no_left(is_program),
        ErrorKind::InvalidUtf8 => not_text(&words).unwrap_or(error),
        _ => mistake::spelled(error, &words),
    })?;
    let checked = spellings::check(&matches);
    checked.map_err(|what| self::command().error(ErrorKind::UnknownArgument, what))?;
    let args = Args::from_arg_matches(&matches)?;
    if is_program && args.program.is_empty() {
        let what = "a program is missing behind --\n";
        return Err(Args::command().error(ErrorKind::MissingRequiredArgument, what));
    }
    Ok((args, matches))
}

/// The error for an option whose value is not UTF-8: clap does not say which one it is.
fn not_text(words: &[OsString]) -> Option<clap::Error> {
    let is_it = |pair: &&[OsString]| {
        let alone = [OsStr::new("wsbridge"), &pair[0], &pair[1]];
        let error = command().try_get_matches_from(alone).err();
        error.is_some_and(|error| error.kind() == ErrorKind::InvalidUtf8)
    };
    let pair = words.windows(2).find(is_it)?;
    // The value may be a secret.
    let name = match pair[1].cut_at('=') {
        Some((name, _)) if name.without_prefix("--").is_some() => name,
        _ if pair[1].without_prefix("-").is_some() => pair[1].part(0..pair[1].len().min(2)),
        _ => &pair[0],
    };
    let what = format!("{}\n", mistake::not_text(&name.shown()));
    Some(Args::command().error(ErrorKind::InvalidUtf8, what))
}

fn no_left(is_program: bool) -> clap::Error {
    let what = match is_program {
        true => {
            "the left side is missing: wsbridge ws-l:8080 -- PROGRAM ARGS; stdin and stdout are -\n"
        }
        false => {
            "an address is missing: wsbridge ws://localhost:8080; wsbridge help addresses shows all\n"
        }
    };
    Args::command().error(ErrorKind::MissingRequiredArgument, what)
}

impl Args {
    /// What is asked to be shown, where it is that: a page of help.
    ///
    /// # Errors
    /// There is no such page.
    pub fn page(&self) -> Result<Option<String>, clap::Error> {
        if self.help {
            return Ok(Some(command().render_long_help().to_string()));
        }
        let wanted = self.generate.as_deref();
        if let Some(file) = docs::GENERATED.iter().find(|it| wanted == Some(it.name)) {
            return Ok(Some((file.text)(&command())));
        }
        if !self.calls("help") {
            return Ok(None);
        }
        let Some(name) = &self.right else {
            return Ok(Some(docs::overview()));
        };
        let name = name.escaped().to_ascii_lowercase();
        match docs::topic(&name) {
            Some(topic) => Ok(Some((topic.text)())),
            None => {
                let names = docs::TOPICS.iter().map(|topic| topic.name);
                let near = match nearest(&name, names) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => "wsbridge help lists all".to_owned(),
                };
                let what = format!("there is no page '{name}' of help; {near}\n");
                Err(command().error(ErrorKind::InvalidValue, what))
            }
        }
    }

    /// Whether a word of ours stands where an address does.
    fn calls(&self, word: &str) -> bool {
        self.left.as_ref().is_some_and(|left| left == word)
    }

    /// The endpoints that doctor is to look at, where it is called.
    ///
    /// # Errors
    /// Those of [`plan`](Args::plan); there is none to look at.
    pub fn patients(&self, matches: &ArgMatches, world: &World) -> Result<Option<Vec<Patient>>> {
        if !self.calls("doctor") {
            return Ok(None);
        }
        if self.right.is_none() && self.program.is_empty() {
            let what = "doctor looks at addresses: wsbridge doctor ws://localhost:8080\n";
            return Err(command()
                .error(ErrorKind::MissingRequiredArgument, what)
                .into());
        }
        let mut addresses: Vec<_> = self.right.iter().chain(&self.more).cloned().collect();
        if let [program, ..] = &self.program[..] {
            addresses.push(joined(["exec:".as_ref(), program]));
        }
        let patient = |text: &OsString| {
            let chain = scheme::chain(text);
            let core = chain.last().map_or("", |scheme| scheme.names[0]);
            let row = LEFT_ALONE.iter().find(|row| row.0 == core);
            let (_, settings) = self.settings(matches, world, &[Vec::new(), chain])?;
            Ok(Patient {
                name: Address::shown(text),
                endpoint: scheme::build(text, &settings)?,
                is_left_alone: row.map(|row| row.1),
            })
        };
        addresses
            .iter()
            .map(patient)
            .collect::<Result<_>>()
            .map(Some)
    }

    /// Makes the world that the bridge is to run in.
    pub fn world(&self) -> World {
        let limit = self.bridge.memory.unwrap_or_else(memory::usual_limit);
        World::new(Memory::new(limit))
    }

    /// Makes the plan: both endpoints with the options that were given for them, in a world.
    ///
    /// # Errors
    /// [`AddressError`] for what is wrong in an address; clap's error for a flag that belongs to neither side.
    pub fn plan(&self, matches: &ArgMatches, world: &World) -> Result<Plan> {
        self.planned(matches, &self.sides(matches, world)?)
    }

    /// Says in words what the plan is, where that is asked for.
    ///
    /// # Errors
    /// Those of [`plan`](Args::plan).
    pub fn explanation(&self, matches: &ArgMatches, world: &World) -> Result<Option<String>> {
        if !self.explain {
            return Ok(None);
        }
        let sides = self.sides(matches, world)?;
        let plan = self.planned(matches, &sides)?;
        explain::explain(self, matches, &plan, &sides).map(Some)
    }

    fn planned(&self, matches: &ArgMatches, sides: &[(OsString, Settings); 2]) -> Result<Plan> {
        let [(left, left_settings), (right, right_settings)] = sides;
        // Its default is for what connects.
        let is_given = matches.value_source("connect_timeout") == Some(ValueSource::CommandLine);
        Ok(Plan {
            names: [Address::shown(left), Address::shown(right)],
            left: scheme::build(left, left_settings)?,
            right: scheme::build(right, right_settings)?,
            taps: [
                scheme::tap(left, left_settings)?,
                scheme::tap(right, right_settings)?,
            ],
            session: session::Options {
                connect_timeout: matches
                    .get_one("connect_timeout")
                    .copied()
                    .filter(|_| is_given),
                ..self.session.clone()
            },
            bridge: self.bridge.clone(),
        })
    }

    /// Both addresses with what flags and `-o` say for them.
    fn sides(&self, matches: &ArgMatches, world: &World) -> Result<[(OsString, Settings); 2]> {
        let (left, right) = self.addresses()?;
        let (of_left, of_right) = (scheme::chain(&left), scheme::chain(&right));
        let (mut left_settings, mut right_settings) =
            self.settings(matches, world, &[of_left, of_right])?;
        right_settings.words = self.words().to_vec();
        left_settings.opposite = Address::shown(&right);
        right_settings.opposite = Address::shown(&left);
        let is_one_way = self.session.unidirectional || self.session.unidirectional_reverse;
        if is_one_way || self.bridge.progress {
            // A prompt is for a conversation, and has the line of the terminal.
            for settings in [&mut left_settings, &mut right_settings] {
                settings.pairs.push(("no-interactive".to_owned(), None));
            }
        }
        Ok([(left, left_settings), (right, right_settings)])
    }

    /// The two addresses: `wsbridge URL` has stdin on its left, `wsbridge ws-l:PORT` on its right.
    fn addresses(&self) -> Result<(OsString, OsString), clap::Error> {
        if let [third, ..] = &self.more[..] {
            let third = Address::shown(third);
            let what = format!(
                "'{third}' is one address too many, wsbridge joins two; a program and its words stand behind --\n"
            );
            return Err(command().error(ErrorKind::TooManyValues, what));
        }
        if let (Some(port), Some(left)) = (&self.server, &self.left) {
            let left = match left == "-" {
                true => "-".to_owned(),
                false => Address::shown(left),
            };
            let port = port.shown();
            let what = format!(
                "-s {port} serves stdin and stdout; to join it with another write ws-l:{port} {left}\n"
            );
            return Err(command().error(ErrorKind::ArgumentConflict, what));
        }
        let stdio = || OsString::from("-");
        let server = |port: &OsString| joined(["ws-l:".as_ref(), port]);
        if let Some(program) = self.program()? {
            let served = self.server.as_ref().map(server);
            let left = served.or_else(|| self.left.clone());
            return Ok((left.unwrap_or_else(stdio), program));
        }
        Ok(match (&self.server, &self.left, &self.right) {
            (Some(port), _, _) => (server(port), stdio()),
            (None, Some(left), Some(right)) => (left.clone(), right.clone()),
            (None, Some(only), None) => {
                let is_listener = scheme::find(only).is_some_and(|found| {
                    // A listener is one whatever its options are.
                    let address = only.cut_at(',').map_or(only.as_os_str(), |(it, _)| it);
                    scheme::build(address, &Settings::default())
                        .map_or(found.names[0].ends_with("-l"), |it| {
                            matches!(it, Endpoint::Listen(_))
                        })
                });
                if is_listener {
                    (only.clone(), stdio())
                } else {
                    (stdio(), only.clone())
                }
            }
            (None, None, _) => (stdio(), stdio()),
        })
    }

    /// The address of the program behind `--`, if there is one: that of RIGHT where it is `exec:`.
    fn program(&self) -> Result<Option<OsString>, clap::Error> {
        let refuse = |what: &str| Err(command().error(ErrorKind::ValueValidation, what));
        match (&self.program[..], &self.right) {
            ([], _) => Ok(None),
            (_, Some(right)) if scheme::find(right).is_some_and(|it| it.names[0] == "exec") => {
                Ok(Some(right.clone()))
            }
            (_, Some(right)) => {
                let right = Address::shown(right);
                refuse(&format!(
                    "{right} and the program behind -- are two right sides, and there is one\n"
                ))
            }
            ([program, ..], None) => Ok(Some(joined(["exec:".as_ref(), program]))),
        }
    }

    /// The words that follow the program's name.
    fn words(&self) -> &[OsString] {
        match (&self.program[..], &self.right) {
            (all, Some(_)) => all,
            (all, None) => all.get(1..).unwrap_or_default(),
        }
    }

    /// What flags and `-o` say for each side.
    fn settings(
        &self,
        matches: &ArgMatches,
        world: &World,
        sides: &[Vec<&Scheme>; 2],
    ) -> Result<(Settings, Settings), clap::Error> {
        let commands = sides.each_ref().map(|side| {
            side.iter()
                .map(|scheme| scheme.command())
                .collect::<Vec<_>>()
        });
        let takes = |side: usize, key: &str| {
            let arguments = commands[side].iter().flat_map(Command::get_arguments);
            arguments.into_iter().any(|arg| arg.get_long() == Some(key))
        };
        let heading = |side: usize, key: &str| {
            let mut arguments = commands[side].iter().flat_map(Command::get_arguments);
            let found = arguments.find(|arg| arg.get_long() == Some(key));
            found.map(|arg| arg.get_help_heading().map(str::to_owned))
        };
        // A flag that means one thing to a server and another to a client is the server's.
        let is_server = |side: usize, key: &str| {
            heading(side, key) == Some(Some(ws::SERVER_HEADING.to_owned()))
        };
        let is_for = |side: usize, key: &str| {
            takes(side, key) && (is_server(side, key) || !is_server(1 - side, key))
        };
        let own = Settings {
            variables: self.variables.clone(),
            ..world.settings()
        };
        let mut settings = [own.clone(), own];
        let names = |side: &[&Scheme]| {
            let names: String = side.iter().map(|it| format!("{}:", it.names[0])).collect();
            names.replace("-:", "-")
        };
        for (key, values) in given_flags(matches) {
            let meant: Vec<_> = [0, 1]
                .into_iter()
                .filter(|side| is_for(*side, &key))
                .collect();
            if meant.len() == 2 && heading(0, &key) != heading(1, &key) {
                let what = format!(
                    "--{key} means one thing to {} and another to {}; -o left.{key} or -o right.{key} is one of them\n",
                    names(&sides[0]),
                    names(&sides[1]),
                );
                return Err(command().error(ErrorKind::ArgumentConflict, what));
            }
            for side in meant {
                settings[side]
                    .pairs
                    .extend(values.iter().map(|value| (key.clone(), value.clone())));
            }
            // Text and binary say something of byte sides; between two WebSockets they change nothing.
            let is_known = sides.iter().all(|side| !side.is_empty());
            // A caller waits for one of a right side that listens as it waits for one that connects.
            let right = sides[1].last();
            let waits =
                key == "connect-timeout" && right.is_some_and(|core| core.names[0].ends_with("-l"));
            if is_known
                && !waits
                && !takes(0, &key)
                && !takes(1, &key)
                && key != "text"
                && key != "binary"
            {
                let what = format!(
                    "--{key} means nothing to {} and {}; it is for {}\n",
                    names(&sides[0]),
                    names(&sides[1]),
                    who_takes(&key)
                );
                return Err(command().error(ErrorKind::ArgumentConflict, what));
            }
        }
        for option in &self.option {
            let (side, key, value) = side_option(option).ok_or_else(|| {
                let typed = option.shown();
                let typed = word_of(&typed);
                let what = format!(
                    "-o: '{typed}' is no option of a side, which is written left.KEY=VALUE or right.KEY=VALUE\n"
                );
                command().error(ErrorKind::ValueValidation, what)
            })?;
            // Of a side that is unknown the address is wrong.
            if !sides[side].is_empty() {
                let wrong = wrong_option(&commands[side], &key, value.as_deref());
                if let Some(what) = wrong {
                    let side = ["left", "right"][side];
                    let what = format!("-o {side}.{what}\n");
                    return Err(command().error(ErrorKind::ValueValidation, what));
                }
            }
            settings[side].pairs.push((key, value));
        }
        let [left, right] = settings;
        Ok((left, right))
    }
}

/// The endpoints' flags that were typed, with their values.
fn given_flags(matches: &ArgMatches) -> Vec<(String, Vec<Option<OsString>>)> {
    let mut given = Vec::new();
    let mut seen = HashSet::new();
    for scheme in SCHEMES {
        for arg in scheme.command().get_arguments() {
            let id = arg.get_id();
            let Some(key) = arg.get_long().filter(|key| seen.insert((*key).to_owned())) else {
                continue;
            };
            if matches.value_source(id.as_str()) != Some(ValueSource::CommandLine) {
                continue;
            }
            let values = if matches!(arg.get_action(), ArgAction::SetTrue) {
                vec![None]
            } else {
                let raw = matches.get_raw(id.as_str()).into_iter().flatten();
                raw.map(|value| Some(value.to_owned())).collect()
            };
            given.push((key.to_owned(), values));
        }
    }
    given.extend(spellings::translated(matches));
    given
}

/// The schemes that an option is for.
fn who_takes(key: &str) -> String {
    let mut names = Vec::new();
    for scheme in SCHEMES {
        let command = scheme.command();
        let mut arguments = command.get_arguments();
        if arguments.any(|arg| arg.get_long() == Some(key)) {
            names.push(format!("{}:", scheme.names[0]).replace("-:", "-"));
        }
    }
    let more = if names.len() > SHOWN_SCHEMES {
        " ..."
    } else {
        ""
    };
    names.truncate(SHOWN_SCHEMES);
    names.join(" ") + more
}

/// What is wrong with an option of a side that speaks by these commands, its key first. A value may be a secret, and is shown
/// only where a reader of values has refused it.
fn wrong_option(commands: &[Command], key: &str, value: Option<&OsStr>) -> Option<String> {
    let arguments = commands.iter().flat_map(Command::get_arguments);
    let keys: Vec<_> = arguments.filter_map(clap::Arg::get_long).collect();
    if !keys.contains(&key) {
        let near = nearest(key, keys).map_or("wsbridge --help shows all".to_owned(), |near| {
            format!("did you mean '{near}'?")
        });
        let names: Vec<_> = commands.iter().map(Command::get_name).collect();
        let name = format!("{}:", names.join(":")).replace("-:", "-");
        let key = word_of(key);
        return Some(format!("{key} is no option of {name}; {near}"));
    }
    let its_own = |command: &&Command| {
        let mut arguments = command.get_arguments();
        arguments.any(|arg| arg.get_long() == Some(key))
    };
    let command = commands.iter().find(its_own)?;
    let word = endpoint::word(key, value);
    let error = command.clone().try_get_matches_from([word]).err()?;
    match error.kind() {
        ErrorKind::InvalidUtf8 => Some(mistake::not_text(key)),
        _ => mistake::line(&error, ""),
    }
}

fn side_option(option: &OsStr) -> Option<(usize, String, Option<OsString>)> {
    let (side, rest) = option.cut_at('.')?;
    let side = match side.to_str()? {
        "left" => 0,
        "right" => 1,
        _ => return None,
    };
    let (key, value) = match rest.cut_at('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (rest, None),
    };
    Some((side, key.shown().into_owned(), value))
}

/// The line for a command line that makes no sense; `None` where help or the version is to be shown instead.
pub fn line(error: &clap::Error) -> Option<String> {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        return None;
    }
    if let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg)
        && error.kind() == ErrorKind::UnknownArgument
    {
        let command = command();
        let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
        let known = shown.filter_map(clap::Arg::get_long);
        return Some(mistake::no_flag(typed, &known.collect::<Vec<_>>()));
    }
    if let Some(line) = mistake::line(error, "--") {
        return Some(line);
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let end = text.find("\nUsage:").unwrap_or(text.len());
    let mut line = String::new();
    let parts = text[..end].lines().map(str::trim);
    for part in parts.filter(|part| !part.is_empty() && !part.starts_with("For more")) {
        if !line.is_empty() {
            line += if line.ends_with(':') { " " } else { "; " };
        }
        line += part.strip_prefix("tip: ").unwrap_or(part);
    }
    Some(line)
}

/// The exit status of an error that kept the plan from being made or carried out.
pub fn exit_status(error: &anyhow::Error) -> u8 {
    if let Some(cause) = crate::ending::Cause::of(error) {
        return cause.exit_status();
    }
    if let Some(address) = error.downcast_ref::<AddressError>() {
        return address.exit_status();
    }
    if error.is::<clap::Error>() { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        command().debug_assert();
    }

    #[track_caller]
    fn addresses(words: &[&str]) -> (String, String) {
        let words = ["wsbridge"].iter().chain(words).map(OsString::from);
        let (left, right) = parse(words).unwrap().0.addresses().unwrap();
        (left.into_string().unwrap(), right.into_string().unwrap())
    }

    #[test]
    fn one_address_is_joined_to_stdio() {
        let pair = |left: &str, right: &str| (left.to_owned(), right.to_owned());
        assert_eq!(addresses(&["ws://h"]), pair("-", "ws://h"));
        assert_eq!(addresses(&["ws-l:1"]), pair("ws-l:1", "-"));
        assert_eq!(addresses(&["ws-l:1,path=/a"]), pair("ws-l:1,path=/a", "-"));
        assert_eq!(addresses(&["-s", "8080"]), pair("ws-l:8080", "-"));
        assert_eq!(
            addresses(&["-s", "0.0.0.0:8080"]),
            pair("ws-l:0.0.0.0:8080", "-")
        );
        assert_eq!(addresses(&["ws-l:1", "echo:"]), pair("ws-l:1", "echo:"));
        assert_eq!(
            addresses(&["ws-l:1", "--", "cat", "-u"]),
            pair("ws-l:1", "exec:cat")
        );
        assert_eq!(
            addresses(&["-s", "1", "--", "cat"]),
            pair("ws-l:1", "exec:cat")
        );
        assert_eq!(
            addresses(&["ws-l:1", "exec:cat", "--exec-args", "-u"]),
            pair("ws-l:1", "exec:cat")
        );
    }

    #[test]
    fn a_caller_waits_for_an_agent_as_long_as_was_said() {
        let waits = |words: &[&str]| plan(words).unwrap().session.connect_timeout;
        assert_eq!(waits(&["tcp-l:1", "ws-l:2"]), None);
        let words = ["tcp-l:1", "ws-l:2", "--connect-timeout", "10s"];
        assert_eq!(waits(&words), Some(std::time::Duration::from_secs(10)));
    }

    pub(super) fn plan(words: &[&str]) -> Result<Plan> {
        let words = ["wsbridge"].iter().chain(words).map(OsString::from);
        let (args, matches) = parse(words)?;
        args.plan(&matches, &args.world())
    }

    #[track_caller]
    pub(super) fn fails(words: &[&str], status: u8, what: &str) {
        let error = plan(words).err().unwrap();
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(exit_status(&error), status, "{error}");
    }

    #[test]
    fn an_option_can_be_given_in_all_ways() {
        for words in [
            &["--path", "/a", "ws-l:1", "echo:"][..],
            &["ws-l:1,path=/a", "echo:"],
            &["ws-l:1/a", "echo:"],
            &["-o", "left.path=/a", "ws-l:1", "echo:"],
            &["ws://h#protocol=x,ping=0", "echo:"],
            &["-b", "ws-l:1", "echo:"],
            &["-H", "A: b", "-H", "C: d", "ws://h"],
        ] {
            assert!(plan(words).is_ok(), "{words:?}");
        }
        fails(
            &["--path", "/a", "tcp:1"],
            2,
            "--path means nothing to - and tcp:",
        );
        fails(
            &["--follow", "file:/a", "ws://h"],
            2,
            "--follow means one thing to file: and another to ws:",
        );
        fails(
            &["-o", "left.pth=/a", "ws-l:1", "echo:"],
            2,
            "left.pth is no option of ws-l:; did you mean 'path'?",
        );
        fails(
            &["-o", "middle.path=/a", "ws-l:1", "echo:"],
            2,
            "left.KEY=VALUE",
        );
        fails(
            &["ws-l:1,path=a", "echo:"],
            2,
            "path: 'a' is no path, which begins with /",
        );
        fails(&["tpc:localhost:1"], 2, "did you mean 'tcp:'?");
        fails(&["tcp:h:99999"], 3, "bad port '99999'");
        fails(&["--nonsense"], 2, "--nonsense");
    }
}
