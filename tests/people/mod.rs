//! People: inviting, joining, signing in, keys, namespaces, leaving; over HTTP and on the command line.

mod forgery;
mod held;
mod joining;
mod keys;
mod leaks;
mod leaving;
mod live;
mod logins;
mod mail;
mod names;
mod pace;
mod rights;
mod sessions;
mod sharing;
mod team;
