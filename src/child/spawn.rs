//! Starts a process and waits for it: the one place of `child` with `unsafe`.
//!
//! What is to be done before exec (`setsid`, the signal at our death) the standard library does in a fork alone. A fork
//! copies our page tables, and then both sides fault on what they write. So on Linux the process shares our memory until it
//! executes its program, as that of `posix_spawn` does, which in turn knows no signal at our death. No crate offers the call in
//! a safe form.
//!
//! On an AMD EPYC, a fork with `pre_exec` takes these multiples of the clone's time for `/bin/true`, in turn, medians. With
//! little memory the call takes 3.1 to 3.6 times as long, the whole run 1.4 to 1.6 times, and 1.3 times the processor time. With
//! 256 MiB of touched memory it is 21 to 26 times for the call and the run, and 18 times for the processor time.
//! `cargo bench --bench parts -- spawn` measures it.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;
use std::mem::zeroed;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::ptr;
use std::sync::Once;

use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitIdStatus, WaitOptions, getpid, ioctl_tiocsctty, setsid, waitid,
    waitpid,
};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Command;
use crate::ending::Exit;

/// A process that was started and is not reaped yet. It leads a session and a process group of its own.
pub(super) struct Process {
    id: Pid,
    ended: Ended,
    is_reaped: bool,
}

/// What tells that a process may have ended.
enum Ended {
    /// A descriptor that is readable then (`pidfd_open(2)`).
    Handle(AsyncFd<OwnedFd>),
    /// The signal that comes for each.
    Any(Signal),
}

impl Process {
    /// Starts a command in a session of its own.
    ///
    /// # Errors
    /// The system's; `InvalidInput` where a word or a variable has a NUL.
    pub(super) fn start(command: Command) -> io::Result<Process> {
        wait_for_children();
        #[cfg(target_os = "linux")]
        if clone::is_possible() {
            return clone::start(&command);
        }
        fork(command)
    }

    /// Its number, and that of its group.
    pub(super) fn id(&self) -> Pid {
        self.id
    }

    /// Waits for its end, and does not reap it: its number stays its own. Cancel-safe.
    ///
    /// # Errors
    /// The system's: its status is not known then.
    pub(super) async fn exited(&mut self) -> io::Result<Exit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let exit = |id| Ok::<_, io::Error>(waitid(WaitId::Pid(id), options)?.map(|it| exit(&it)));
        match &mut self.ended {
            Ended::Handle(handle) => loop {
                let mut guard = handle.readable().await?;
                if let Some(exit) = exit(self.id)? {
                    return Ok(exit);
                }
                guard.clear_ready();
            },
            Ended::Any(signals) => loop {
                if let Some(exit) = exit(self.id)? {
                    return Ok(exit);
                }
                if signals.recv().await.is_none() {
                    return Err(io::ErrorKind::Unsupported.into());
                }
            },
        }
    }

    /// Reaps it after its end: its number may be given to others.
    pub(super) fn reap(&mut self) {
        if !self.is_reaped {
            self.is_reaped = true;
            // Nothing else waits for it.
            let _ = waitpid(Some(self.id), WaitOptions::NOHANG);
        }
    }
}

/// How a process ended that was waited for.
fn exit(status: &WaitIdStatus) -> Exit {
    // Both are numbers of one byte; what is none of them is counted as a failure.
    match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => Exit::Status(u8::try_from(status).unwrap_or(u8::MAX)),
        (None, Some(signal)) => Exit::Signal(u8::try_from(signal).unwrap_or(0)),
        (None, None) => Exit::Status(u8::MAX),
    }
}

/// The group that a process is in, if there is such a process; that of a thread of the kernel is 0, which is no [`Pid`].
pub(super) fn group_of(id: Pid) -> Option<c_int> {
    // SAFETY: a plain system call.
    let group = unsafe { libc::getpgid(id.as_raw_nonzero().get()) };
    (group >= 0).then_some(group)
}

/// Lets children that have ended stay until they are reaped. Where SIGCHLD was ignored when we were started, the system
/// reaps them itself, and how they ended is lost (wait(2)).
fn wait_for_children() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: plain system calls on values of this frame; an action is valid with all bits zero.
        unsafe {
            let mut action: libc::sigaction = zeroed();
            libc::sigaction(libc::SIGCHLD, ptr::null(), &raw mut action);
            if action.sa_sigaction == libc::SIG_IGN {
                let usual: libc::sigaction = zeroed();
                libc::sigaction(libc::SIGCHLD, &raw const usual, ptr::null_mut());
            }
        }
    });
}

/// Starts it in a fork: where there is no other way.
fn fork(command: Command) -> io::Result<Process> {
    // Before there is a process that this could fail for.
    let signals = signal(SignalKind::child())?;
    let mut forked = std::process::Command::new(command.file);
    if let [name, words @ ..] = &command.words[..] {
        forked.arg0(name).args(words);
    }
    forked.env_clear().envs(command.environment);
    forked.stdin(command.stdin).stdout(command.stdout);
    if let Some(stderr) = command.stderr {
        forked.stderr(stderr);
    }
    let (parent, has_terminal) = (getpid(), command.has_terminal);
    // SAFETY: the closure makes system calls alone; it neither allocates nor takes a lock.
    unsafe {
        forked.pre_exec(move || {
            isolate(parent, has_terminal)?;
            reset_signals(has_terminal);
            Ok(close_others()?)
        });
    }
    // Dropping it neither ends it nor waits for it.
    let forked = forked.spawn()?;
    Ok(Process {
        id: Pid::from_child(&forked),
        ended: Ended::Any(signals),
        is_reaped: false,
    })
}

/// Gives the process that calls it a session and process group of its own, and lets it die with the thread that started it.
fn isolate(parent: Pid, has_terminal: bool) -> rustix::io::Result<()> {
    setsid()?;
    if has_terminal {
        ioctl_tiocsctty(rustix::stdio::stdin())?;
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() != Some(parent) {
            return Err(rustix::io::Errno::PIPE);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    Ok(())
}

/// Signals are numbers up to this one (signal(7)).
const LAST_SIGNAL: c_int = 64;

/// Lets signals mean to the process that calls it what they meant before us, and blocks none. What was ignored when we were
/// started stays so, by nohup(1) for example; but in a terminal of its own a program takes all: there ^C comes as a signal.
fn reset_signals(has_terminal: bool) {
    // SAFETY: plain system calls on values of this frame. The masks and actions are valid with all bits zero.
    unsafe {
        let usual: libc::sigaction = zeroed();
        for signal in 1..=LAST_SIGNAL {
            let mut action: libc::sigaction = zeroed();
            libc::sigaction(signal, ptr::null(), &raw mut action);
            // We ignore SIGPIPE ourselves.
            let stays = match action.sa_sigaction {
                libc::SIG_DFL => true,
                libc::SIG_IGN => signal != libc::SIGPIPE && !has_terminal,
                _ => false,
            };
            if !stays {
                libc::sigaction(signal, &raw const usual, ptr::null_mut());
            }
        }
        let none = zeroed();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// The first descriptor that no program is given.
const FIRST_OTHER: c_int = 3;

/// Has all descriptors of the process that calls it closed on exec but the three that it is given: one that we were started
/// with may be open on anything. Makes system calls alone, on a table of descriptors of its own.
#[cfg(target_os = "linux")]
fn close_others() -> rustix::io::Result<()> {
    const CLOEXEC: libc::c_uint = 1 << 2;
    // SAFETY: it marks descriptors of this process and touches no memory. Only exec closes them.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST_OTHER,
            libc::c_uint::MAX,
            CLOEXEC,
        )
    };
    match done {
        0 => Ok(()),
        // Before Linux 5.11, or where a sandbox forbids it.
        _ => close_shown(),
    }
}

/// Does it for those that /proc shows, without an allocation.
#[cfg(target_os = "linux")]
fn close_shown() -> rustix::io::Result<()> {
    use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(all) = openat(CWD, c"/proc/self/fd", flags, Mode::empty()) else {
        close_all();
        return Ok(());
    };
    let mut room = [const { std::mem::MaybeUninit::uninit() }; 1024];
    let mut entries = RawDir::new(all, &mut room);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        // "." and ".." are no numbers.
        let mut name = entry.file_name().to_bytes().iter();
        let number = name.try_fold(0, |number: c_int, digit| match digit {
            b'0'..=b'9' => number
                .checked_mul(10)?
                .checked_add(c_int::from(digit - b'0')),
            _ => None,
        });
        if let Some(number @ FIRST_OTHER..) = number {
            mark(number);
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn close_others() -> rustix::io::Result<()> {
    close_all();
    Ok(())
}

/// Does it for all numbers that a descriptor may have, of which there are at most this many.
fn close_all() {
    const MOST: c_int = 65_536;
    // SAFETY: a plain system call.
    let most = unsafe { libc::sysconf(libc::_SC_OPEN_MAX) };
    let most = c_int::try_from(most).map_or(MOST, |most| most.clamp(0, MOST));
    (FIRST_OTHER..most).for_each(mark);
}

/// Has a descriptor closed on exec; one that is not open stays so.
fn mark(number: c_int) {
    // SAFETY: it marks a descriptor of this process and touches no memory. Only exec closes it.
    unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
}

#[cfg(target_os = "linux")]
mod clone {
    use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
    use std::mem::{MaybeUninit, zeroed};
    use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;
    use std::ptr;
    use std::sync::LazyLock;

    use rustix::io::Errno;
    use rustix::process::{
        PidfdFlags, Signal, WaitOptions, kill_process_group, pidfd_open, waitpid,
    };
    use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::{Command, Ended, Pid, Process, close_others, getpid, io, isolate, reset_signals};

    /// Bytes of stack for what is done before exec, which needs about one KiB.
    const STACK: usize = 16 * 1024;
    /// What runs a file that is executable and in no format of the system's, as execvp(3) does it.
    const SHELL: &CStr = c"/bin/sh";

    /// Whether processes have descriptors here: since Linux 5.3, where no sandbox forbids them.
    pub(super) fn is_possible() -> bool {
        static IS_POSSIBLE: LazyLock<bool> =
            LazyLock::new(|| pidfd_open(getpid(), PidfdFlags::empty()).is_ok());
        *IS_POSSIBLE
    }

    /// Starts a command.
    pub(super) fn start(command: &Command) -> io::Result<Process> {
        let file = text(&[command.file.as_os_str()])?;
        let words = command.words.iter().map(|word| text(&[word]));
        let mut words: Vec<CString> = words.collect::<io::Result<_>>()?;
        let variables = command.environment.iter();
        let variables = variables.map(|(name, value)| text(&[name, OsStr::new("="), value]));
        let variables: Vec<CString> = variables.collect::<io::Result<_>>()?;
        match run(command, &file, &words, &variables) {
            Err(Errno::NOEXEC) => {
                words.splice(..words.len().min(1), [SHELL.to_owned(), file]);
                Ok(run(command, SHELL, &words, &variables)??)
            }
            started => Ok(started??),
        }
    }

    /// A text as the system takes it.
    fn text(parts: &[&OsStr]) -> io::Result<CString> {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        Ok(CString::new(parts.concat())?)
    }

    /// What the process needs before exec; it has our memory, and must neither allocate nor take a lock.
    struct Start<'a> {
        file: *const c_char,
        words: *const *const c_char,
        variables: *const *const c_char,
        stdin: BorrowedFd<'a>,
        stdout: BorrowedFd<'a>,
        stderr: Option<BorrowedFd<'a>>,
        has_terminal: bool,
        parent: Pid,
        /// Why it did not come to exec.
        error: Option<Errno>,
    }

    /// Runs a program. The outer error is that of the process before and at exec, the inner one is ours.
    fn run(
        command: &Command,
        file: &CStr,
        words: &[CString],
        variables: &[CString],
    ) -> Result<io::Result<Process>, Errno> {
        let (words, variables) = (pointers(words), pointers(variables));
        let mut start = Start {
            file: file.as_ptr(),
            words: words.as_ptr(),
            variables: variables.as_ptr(),
            stdin: command.stdin.as_fd(),
            stdout: command.stdout.as_fd(),
            stderr: command.stderr.as_ref().map(AsFd::as_fd),
            has_terminal: command.has_terminal,
            parent: getpid(),
            error: None,
        };
        let (id, handle) = match clone(&mut start) {
            Ok(started) => started,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(error) = start.error {
            // Its status says nothing.
            reap_ending(id);
            return Err(error);
        }
        Ok(watch(id, handle))
    }

    /// Watches a process by its descriptor. One that cannot be watched is ended and reaped: it has no keeper.
    pub(super) fn watch(id: Pid, handle: OwnedFd) -> io::Result<Process> {
        // SAFETY: what owns the descriptor goes into it, keeps it open, and always gives the same one.
        let handle = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) };
        match handle {
            Ok(handle) => Ok(Process {
                id,
                ended: Ended::Handle(handle),
                is_reaped: false,
            }),
            Err(error) => {
                // It leads a group since before exec; what it has started meanwhile goes with it.
                let _ = kill_process_group(id, Signal::KILL);
                reap_ending(id);
                Err(error.into())
            }
        }
    }

    /// Reaps a process that is ending, and never waits for it on this thread: its end may take as long as a file system does to
    /// close its files.
    pub(super) fn reap_ending(id: Pid) {
        if !matches!(waitpid(Some(id), WaitOptions::NOHANG), Ok(None)) {
            return;
        }
        let wait = move || {
            // Nothing else waits for it.
            let _ = waitpid(Some(id), WaitOptions::empty());
        };
        // Where there is no thread left it stays until we end.
        let _ = std::thread::Builder::new().spawn(wait);
    }

    /// Texts as exec takes them.
    fn pointers(texts: &[CString]) -> Vec<*const c_char> {
        let texts = texts.iter().map(|text| text.as_ptr());
        texts.chain([ptr::null()]).collect()
    }

    /// Clones a process and returns when it has executed its program, or said why not and ended.
    fn clone(start: &mut Start<'_>) -> io::Result<(Pid, OwnedFd)> {
        const FLAGS: c_int = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        // As many bytes, and its end as even as calls want it.
        let mut stack = [const { MaybeUninit::<u128>::uninit() }; STACK / size_of::<u128>()];
        let mut handle: c_int = -1;
        // SAFETY: the masks are written before they are read: by `sigfillset`, and by the first `pthread_sigmask`, which
        // can not fail. Handlers of ours that ran in the process would change our memory: it has all signals blocked.
        // CLONE_VFORK halts this thread until the process has left our memory, so that its stack, which grows down from
        // the end of an array of ours, and all that `start` points to outlive it. `before_exec` keeps what it promises.
        let id = unsafe {
            let (mut all, mut ours) = (zeroed(), zeroed());
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut ours);
            let top = stack.as_mut_ptr_range().end.cast::<c_void>();
            let start = ptr::from_mut(start).cast::<c_void>();
            let id = libc::clone(before_exec, top, FLAGS, start, &raw mut handle);
            let error = io::Error::last_os_error();
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const ours, ptr::null_mut());
            Pid::from_raw(id.max(0)).ok_or(error)?
        };
        // SAFETY: CLONE_PIDFD has written a new descriptor, which nobody else knows.
        Ok((id, unsafe { OwnedFd::from_raw_fd(handle) }))
    }

    /// What the process does: it comes back only with an error, and then it ends.
    extern "C" fn before_exec(start: *mut c_void) -> c_int {
        // SAFETY: it is what `clone` was called with, and its thread is halted.
        let start = unsafe { &mut *start.cast::<Start<'_>>() };
        start.error = prepare(start).err().or_else(|| {
            // SAFETY: all three were made of texts and end with NUL, the lists with a null pointer.
            unsafe { libc::execve(start.file, start.words, start.variables) };
            // It is there: exec has failed.
            Errno::from_io_error(&io::Error::last_os_error())
        });
        127
    }

    /// Leads the input and output of the process, isolates it, lets signals mean what they meant before us, and keeps all
    /// other descriptors from it.
    fn prepare(start: &Start<'_>) -> Result<(), Errno> {
        dup2_stdin(start.stdin)?;
        dup2_stdout(start.stdout)?;
        if let Some(stderr) = start.stderr {
            dup2_stderr(stderr)?;
        }
        isolate(start.parent, start.has_terminal)?;
        reset_signals(start.has_terminal);
        close_others()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::test_kill_process;
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use tokio::io::AsyncReadExt;
    use tokio::net::unix::pipe;

    type Way = fn(Command) -> io::Result<Process>;
    const WAYS: [Way; 2] = [Process::start, fork];

    /// What a program says, and its end.
    async fn run(way: Way, file: &Path, words: &[&str]) -> io::Result<(String, Exit)> {
        let (out, theirs) = io::pipe()?;
        let command = Command {
            file: file.to_owned(),
            words: words.iter().map(Into::into).collect(),
            environment: vec![("A".into(), "b c".into())],
            stdin: File::open("/dev/null")?.into(),
            stdout: theirs.into(),
            stderr: None,
            has_terminal: false,
        };
        let mut process = way(command)?;
        let mut said = String::new();
        let mut out = pipe::Receiver::from_owned_fd(out.into())?;
        out.read_to_string(&mut said).await?;
        let exit = process.exited().await?;
        // Its number is its own until it is reaped.
        assert!(test_kill_process(process.id()).is_ok());
        process.reap();
        Ok((said, exit))
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn one_that_cannot_be_watched_is_ended_and_reaped() {
        let process = std::process::Command::new("sleep")
            .arg("600")
            .process_group(0)
            .spawn()
            .unwrap();
        let id = Pid::from_child(&process);
        // A file is never watched (epoll_ctl(2)).
        let file = File::open("/dev/null").unwrap();
        assert!(clone::watch(id, file.into()).is_err());
        gone(id);
        drop(process);
    }

    /// Waits until a process was reaped.
    fn gone(id: Pid) {
        while test_kill_process(id).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_end_of_one_that_takes_its_time_is_waited_for_elsewhere() {
        let mut sleep = std::process::Command::new("sleep");
        let id = Pid::from_child(&sleep.arg("600").spawn().unwrap());
        clone::reap_ending(id);
        rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
        gone(id);
    }

    #[tokio::test]
    async fn it_finds_its_words_and_its_environment_and_nothing_else_of_ours() {
        // The folder that is listed is the fourth.
        let line = "echo $0 $1; ls /proc/self/fd; exit 3";
        let words = ["called", "-c", line, "zero", "one"];
        let usual = "zero one\n0\n1\n2\n3\n".to_owned();
        // A disposition that our parent may have left.
        let open = File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
        for way in WAYS {
            let (said, _) = run(way, Path::new("/usr/bin/env"), &["x"]).await.unwrap();
            assert_eq!(said, "A=b c\n");
            let (said, exit) = run(way, Path::new("/bin/sh"), &words).await.unwrap();
            assert_eq!((said, exit), (usual.clone(), Exit::Status(3)));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn without_close_range_descriptors_are_closed_all_the_same() {
        for close in [|| close_shown().unwrap(), close_all as fn()] {
            let open = File::open("/dev/null").unwrap();
            rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
            // All others of ours are closed on exec as they are.
            close();
            let flags = rustix::io::fcntl_getfd(&open).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
    }

    /// Bits of a line of `/proc/self/status`.
    fn bits(status: &str, name: &str) -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
    }

    #[tokio::test]
    async fn signals_mean_to_it_what_they_meant_before_us() {
        use tokio::signal::unix::{SignalKind, signal};
        let _handled = signal(SignalKind::user_defined2()).unwrap();
        let ours = fs::read_to_string("/proc/self/status").unwrap();
        let pipe = 1 << (rustix::process::Signal::PIPE.as_raw() - 1);
        assert_ne!(
            (bits(&ours, "SigIgn:") & pipe, bits(&ours, "SigCgt:")),
            (0, 0)
        );
        for way in WAYS {
            let words = ["cat", "/proc/self/status"];
            let (theirs, _) = run(way, Path::new("/bin/cat"), &words).await.unwrap();
            let ignored = bits(&ours, "SigIgn:") & !pipe;
            let found = ["SigBlk:", "SigIgn:", "SigCgt:"].map(|name| bits(&theirs, name));
            assert_eq!(found, [0, ignored, 0]);
        }
        // Ours are as they were, but for the one that a fork is waited for by.
        let waits = 1 << (rustix::process::Signal::CHILD.as_raw() - 1);
        let after = fs::read_to_string("/proc/thread-self/status").unwrap();
        for name in ["SigBlk:", "SigIgn:", "SigCgt:"] {
            assert_eq!(
                bits(&after, name) & !bits(&ours, name) & !waits,
                0,
                "{name}"
            );
        }
    }

    #[tokio::test]
    async fn why_it_does_not_start_is_told_and_a_script_without_a_first_line_is_for_the_shell() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        // Written by another process: of a file that we have open for it a fork of another test might keep a copy, and
        // nobody executes a file that is open for writing.
        let line = r#"echo 'echo $0 $#: $1' > "$0""#;
        let mut writer = std::process::Command::new("/bin/sh");
        let written = writer.args(["-c", line]).arg(&script).status();
        assert!(written.unwrap().success());
        for way in WAYS {
            let kind = async |path: &Path| run(way, path, &["x"]).await.unwrap_err().kind();
            let none = dir.path().join("none");
            assert_eq!(kind(&none).await, io::ErrorKind::NotFound);
            fs::set_permissions(&script, Permissions::from_mode(0o600)).unwrap();
            assert_eq!(kind(&script).await, io::ErrorKind::PermissionDenied);
            fs::set_permissions(&script, Permissions::from_mode(0o700)).unwrap();
            let (said, exit) = run(way, &script, &["x", "a b"]).await.unwrap();
            let expected = format!("{} 1: a b\n", script.display());
            assert_eq!((said, exit), (expected, Exit::Status(0)));
            let error = run(way, &script, &["x", "a\0b"]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
