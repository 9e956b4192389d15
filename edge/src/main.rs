//! The edge's process.

fn main() {}
