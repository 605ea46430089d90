//! Schema migrations, append only. Two independent lists: the main database and the analytics database, so that
//! on SQLite they are separate files; on Postgres both live in one database with separate book-keeping tables.

mod m20261121_000001_create_analytics;
mod m20261121_000001_create_state;
mod m20261125_000001_calls_by_id;
mod m20261126_000001_session_subscriptions;
mod m20261126_000002_tokens_in_force;
mod m20261126_000002_tool_policy;
mod m20261127_000001_people;
mod m20261127_000002_skills;
mod m20261127_000003_rotation_and_retries;
mod m20261128_000001_call_sums;
mod m20261128_000002_call_packs;
mod m20261128_000003_due_work;
mod m20261129_000001_call_weeks;
mod m20261129_000001_tools_first_seen;
mod m20261130_000001_tools_renamed;
mod table;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::{
    MigrationTrait,
    sea_orm::{DynIden, sea_query::IntoIden},
};

/// Accounts, workspaces, tokens, servers, secrets, audit.
pub struct State;

impl MigratorTrait for State {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_create_state::Migration),
            Box::new(m20261126_000001_session_subscriptions::Migration),
            Box::new(m20261126_000002_tool_policy::Migration),
            Box::new(m20261126_000002_tokens_in_force::Migration),
            Box::new(m20261127_000001_people::Migration),
            Box::new(m20261127_000003_rotation_and_retries::Migration),
            Box::new(m20261127_000002_skills::Migration),
            Box::new(m20261128_000003_due_work::Migration),
            Box::new(m20261129_000001_tools_first_seen::Migration),
            Box::new(m20261130_000001_tools_renamed::Migration),
        ]
    }
    fn migration_table_name() -> DynIden {
        "migrations_state".into_iden()
    }
}

/// Tool calls and their sums.
pub struct Analytics;

impl MigratorTrait for Analytics {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_create_analytics::Migration),
            Box::new(m20261125_000001_calls_by_id::Migration),
            Box::new(m20261128_000001_call_sums::Migration),
            Box::new(m20261128_000002_call_packs::Migration),
            Box::new(m20261129_000001_call_weeks::Migration),
        ]
    }
    fn migration_table_name() -> DynIden {
        "migrations_analytics".into_iden()
    }
}
