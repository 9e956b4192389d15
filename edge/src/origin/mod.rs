//! Origins: pools, balancing, health, DNS.
