//! Sums of calls per minute, hour and day, by token, tool, both or neither: what any page asks for is read from a few
//! thousand rows, however many calls there were. The hours counted so far are taken over; only the sums of several rows
//! start without latencies, because a database cannot merge histograms.

use sea_orm_migration::{prelude::*, schema::*, sea_orm::DbBackend};

use crate::table::{index, primary_key, table};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Members of the key: what a row is about.
const KEY: [&str; 7] = ["workspace_id", "cut", "grain", "slot", "token_id", "server_id", "tool"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All or nothing, on SQLite too.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            uuid("workspace_id"),
            small_integer("cut"),
            small_integer("grain"),
            big_integer("slot"),
            uuid("token_id"),
            uuid("server_id"),
            text("tool"),
            text("server_slug"),
            big_integer("calls"),
            big_integer("tool_errors"),
            big_integer("errors"),
            big_integer("latency_us"),
            big_integer("upstream_us"),
            big_integer("bytes_in"),
            big_integer("bytes_out"),
            big_integer("last_us"),
            blob("histogram"),
        ];
        let sums = primary_key(&mut table("tool_call_sums", columns), KEY);
        let db = manager.get_connection();
        let backend = manager.get_database_backend();
        if backend == DbBackend::Sqlite {
            // Rows lie in the order of the key: what is read together lies together, and there is one tree to write.
            db.execute_unprepared(&format!("{} WITHOUT ROWID", sums.to_string(SqliteQueryBuilder))).await?;
        } else {
            manager.create_table(sums).await?;
        }
        index(manager, "tool_call_sums", ["token_id", "cut", "grain", "slot"], false).await?;
        // Single calls are looked for by their ids, in the slots that the sums name.
        manager
            .drop_index(Index::drop().name("tool_calls__workspace_id__at_us").table("tool_calls").to_owned())
            .await?;
        for statement in taken_over(backend) {
            db.execute_unprepared(&statement).await?;
        }
        manager.drop_table(Table::drop().table("tool_call_hours").to_owned()).await
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom("sums of calls cannot be turned back into hours".into()))
    }
}

/// Hours and days from the hours there are, for each cut.
fn taken_over(backend: DbBackend) -> Vec<String> {
    let (nil, nothing) = match backend {
        DbBackend::Postgres => ("'00000000-0000-0000-0000-000000000000'::uuid", "''::bytea"),
        _ => ("zeroblob(16)", "x''"),
    };
    let mut statements = Vec::new();
    for cut in 0..4 {
        for (grain, slot) in [(1, "hour"), (2, "hour / 24")] {
            let token = if cut & 1 == 1 { "token_id" } else { nil };
            let (server, tool, slug) =
                if cut & 2 == 2 { ("server_id", "tool", "MAX(server_slug)") } else { (nil, "''", "''") };
            let mut groups = vec!["workspace_id", slot];
            groups.extend((cut & 1 == 1).then_some("token_id"));
            groups.extend((cut & 2 == 2).then_some("server_id, tool"));
            let same = (cut, grain) == (3, 1);
            // Each group is one row then.
            let histogram = if same { "histogram" } else { nothing };
            groups.extend(same.then_some("histogram"));
            let sums: Vec<String> =
                ["calls", "tool_errors", "errors", "latency_us", "upstream_us", "bytes_in", "bytes_out"]
                    .map(|column| format!("CAST(SUM({column}) AS BIGINT)"))
                    .into();
            statements.push(format!(
                "INSERT INTO tool_call_sums SELECT workspace_id, {cut}, {grain}, {slot}, {token}, {server}, {tool}, {slug}, \
                 {}, MAX(last_us), {histogram} FROM tool_call_hours GROUP BY {}",
                sums.join(", "),
                groups.join(", ")
            ));
        }
    }
    statements
}
