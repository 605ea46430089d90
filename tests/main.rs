//! Integration tests: everything from outside.

mod cli;
