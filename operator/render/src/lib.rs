//! breakwater-render
