//! When memory that is free goes back to the system: beside `sendqueue` the one place with `unsafe`.
//!
//! The allocator of glibc gives back what lies at the end of a heap alone. After 5,000 sessions 270 of 18,560 KiB were in
//! use, and it kept all of them for ever. That end it gives back too often: as soon as it is 128 KiB. No crate offers the calls
//! in a safe form.
#![allow(unsafe_code)]

/// Gives free memory back to the system. It takes about a millisecond for 10 MiB, and whoever allocates meanwhile waits.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back() {
    unsafe extern "C" {
        /// malloc_trim(3): leaves `pad` bytes at the end of the main heap; returns 1 where something was given back.
        safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
    }
    // Whether there was something to give back makes no difference.
    let _ = malloc_trim(0);
}

/// Lets each heap keep `KEPT` free bytes at its end.
///
/// rustls makes records of 16 KiB, each in memory of its own, and 256 KiB of them are written at a time. To give that back and
/// take it again each time was measured to be a quarter of the work of a stream that is encrypted.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_records() {
    use std::ffi::c_int;
    use std::sync::Once;

    const KEPT: c_int = 1024 * 1024;
    /// malloc.h
    const M_TRIM_THRESHOLD: c_int = -1;
    unsafe extern "C" {
        /// mallopt(3): returns 1 where the parameter was set.
        safe fn mallopt(param: c_int, value: c_int) -> c_int;
    }
    static KEEP: Once = Once::new();
    KEEP.call_once(|| {
        // It is slower without.
        let _ = mallopt(M_TRIM_THRESHOLD, KEPT);
    });
}

/// Other allocators see to it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}

/// Other allocators see to it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_records() {}
