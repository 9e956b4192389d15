//! The edge as a whole, over real sockets on the loopback.

mod support;

mod admin;
mod configuration;
mod h1;
mod h2;
mod tls;
