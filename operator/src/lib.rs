//! breakwater
