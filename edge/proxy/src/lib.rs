//! breakwater-edge-proxy
