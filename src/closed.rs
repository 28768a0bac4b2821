//! Standard input, output and error that are closed at the start, where there is no /dev/null to take their place.
//!
//! The standard library opens /dev/null for each of them before `main`, so that no other file gets its number, and aborts
//! where it cannot: in a chroot without /dev. So this runs before the standard library does.

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec, fcntl_getfd};
use rustix::pipe::pipe;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdin, stdout};

/// Run by the loader (`DT_INIT_ARRAY` of the ELF format), before the standard library starts.
// SAFETY: the section has pointers to functions, which this is. The function makes system calls alone: it needs nothing
// that is yet to be set up, and does not unwind.
#[allow(unsafe_code)]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = open;

extern "C" fn open() {
    let closed = [stdin(), stdout(), stderr()].map(|fd| fcntl_getfd(fd) == Err(Errno::BADF));
    if closed == [false; 3] || openat(CWD, c"/dev/null", OFlags::RDWR, Mode::empty()).is_ok() {
        return;
    }
    // Without descriptors to be had there is nothing to be done: the standard library ends us.
    let _ = take_places(closed);
}

/// Puts the end of a pipe whose other end has gone in the place of each: input has ended, and output has no reader.
fn take_places([has_no_input, has_no_output, has_no_errors]: [bool; 3]) -> Result<(), Errno> {
    // Their numbers may be those that are free, and no pipe may lead from the one to the other.
    let (input, _) = pipe()?;
    let (_, output) = pipe()?;
    let input = fcntl_dupfd_cloexec(input, 3)?;
    let output = fcntl_dupfd_cloexec(output, 3)?;
    if has_no_input {
        dup2_stdin(&input)?;
    }
    if has_no_output {
        dup2_stdout(&output)?;
    }
    if has_no_errors {
        dup2_stderr(&output)?;
    }
    Ok(())
}
