//! The operator: what people wrote, read from a cluster or from files, becomes what edges load.
//!
//! In: the objects of a cluster, or files. Out: published Secrets, statuses and the edges of each region;
//! without a cluster, a running edge. What is decided is decided in `breakwater-render`; this crate reads,
//! writes and drives.
//!
//! It must never write while another replica leads, delete because something is merely absent, or write
//! before it has read everything.

pub mod cli;
pub mod controllers;
pub mod leader;
pub mod publish;
pub mod regions;
pub mod run;
pub mod standalone;
