//! People: inviting, joining, signing in, keys, namespaces, leaving; over HTTP and on the command line.

mod forgery;
mod joining;
mod keys;
mod leaving;
mod logins;
mod sessions;
mod team;
