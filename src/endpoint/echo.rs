//! `echo:`: gives back every message as it came.

use anyhow::Result;

use super::{BoxFuture, Dial, Endpoint, Facts, Scheme};
use crate::caller::Caller;
use crate::peer::{Opened, Pipe};

/// `echo:`
pub const SCHEME: Scheme = Scheme {
    names: &["echo", "mirror"],
    syntax: "echo:",
    summary: "Give back every message, its kind and boundaries kept",
    example: "wsbridge ws-l:8080 echo:",
    is_raw: false,
    options: &[],
    build: |address, settings| {
        address.expect_no_place()?;
        super::read_options::<super::NoOptions>(&SCHEME, address, settings)?;
        let facts = Facts {
            can_half_close: true,
            ..Facts::default()
        };
        Ok(Endpoint::dial(Echo, facts))
    },
};

struct Echo;

impl Dial for Echo {
    fn dial<'a>(&'a self, _caller: &'a Caller) -> BoxFuture<'a, Result<Opened>> {
        Box::pin(async { Ok(Pipe::looped().into()) })
    }
}
