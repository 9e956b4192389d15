//! The edge as a whole, over real sockets on the loopback.

mod support;

mod admin;
mod configuration;
mod drain;
mod h1;
mod h2;
mod limits;
mod tls;
