//! The crate from outside: what the API server sees of the kinds.

mod kinds;
mod oracle;
mod round_trip;
mod upstream_data;
