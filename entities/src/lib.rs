//! SeaORM entities: one file per table, no behaviour. Only `store` uses them; everybody else sees its records.

#![expect(clippy::disallowed_methods, reason = "the derives generate saving of related rows, which nobody calls")]
#![expect(missing_docs, reason = "columns are named by the table; those that need a word have one")]

pub mod account;
pub mod account_identity;
pub mod account_password;
pub mod api_key;
pub mod audit_entry;
pub mod audit_head;
pub mod audit_workspace;
pub mod change_log;
pub mod due_work;
pub mod invite;
pub mod kept_answer;
pub mod limit;
pub mod login_request;
pub mod mcp_server;
pub mod mcp_workspace_secret;
pub mod member;
pub mod secret_keyring;
pub mod server_revision;
pub mod session;
pub mod session_state;
pub mod setting;
pub mod skill;
pub mod skill_version;
pub mod tool_call;
pub mod tool_call_pack;
pub mod tool_call_sum;
pub mod tool_pin;
pub mod tool_setting;
pub mod workspace;
pub mod workspace_server;
pub mod workspace_token;
