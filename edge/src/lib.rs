//! breakwater-edge
