//! The one integration binary: the real program against raw peers, a file per scenario.

mod support;

mod endings;
mod generated;
mod http;
mod layers;
mod limits;
mod lines;
mod promises;
