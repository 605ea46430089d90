//! Actors: state with one owner, supervised. Logic lives in `domain`, `protocol`, `store` and `upstream`; an actor is a
//! shell around it.

pub mod actor_ref;
pub mod analytics_sink;
pub mod audit_log;
mod authority;
mod authority_invites;
mod authority_keys;
mod authority_logins;
mod authority_members;
mod authority_naming;
mod authority_rotation;
mod authority_sessions;
mod authority_welcome;
pub mod checkpoints;
pub mod client;
mod failed_lookups;
pub mod grant;
pub mod health;
mod injected;
pub mod key_source;
mod keyring;
mod last_used;
pub mod own_session;
mod passwords;
pub mod secret_vault;
mod sign_in_pace;
pub mod supervisor;
pub mod token_authority;
mod token_ledger;
pub mod token_people;
mod token_rules;
mod upstream_attempt;
mod upstream_lane;
pub mod upstream_lease;
pub mod upstream_link;
mod upstream_program;
mod upstream_session;
pub mod upstreams;
mod vault;
mod vault_changes;

pub mod all;
pub mod call_feed;
pub mod catalog;
pub mod catalog_abilities;
pub mod catalog_books;
pub mod catalog_changes;
pub mod catalog_items;
pub mod catalog_listing;
pub mod catalog_policy;
pub mod catalog_resources;
pub mod catalog_scope;
mod catalog_servers;
pub mod catalog_sharing;
pub mod catalog_skills;
#[cfg(test)]
mod catalog_tests;
mod catalog_tools;
mod catalog_workspaces;
pub mod client_session;
#[cfg(test)]
mod credential_fixture;
#[cfg(test)]
mod leaving_tests;
pub mod metrics;
pub mod program_files;
pub mod rate_limiter;
#[cfg(test)]
mod runtime_tests;
#[cfg(test)]
mod sink_tests;
pub mod subscriptions;
#[cfg(test)]
mod token_tests;
#[cfg(test)]
mod vault_tests;
#[cfg(test)]
mod warrant_tests;
pub mod workspace_catalog;
pub use all::Actors;
