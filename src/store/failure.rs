//! What a database failure means to the caller: a conflict, "come back in a second", or our own fault.
//! Messages of the driver are logged, never shown: they may quote values.

use std::borrow::Cow;

use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

use crate::error::{Error, ErrorCode, Result, err};

impl From<DbErr> for Error {
    fn from(cause: DbErr) -> Self {
        if let Some(unfit) = unfit(&cause) {
            return Error::new(ErrorCode::InvalidRequest, unfit);
        }
        match cause.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => return err::conflict("It exists already"),
            Some(SqlErr::ForeignKeyConstraintViolation(_)) => {
                return err::conflict("It refers to something that does not exist (any more)");
            }
            _ => {}
        }
        if is_late(&cause) {
            tracing::warn!(%cause, "a statement took too long");
            return unavailable("The database took too long and was stopped")
                .with_hint("If it goes on like that, ask about less: a shorter time, or one person, server or tool");
        }
        if is_passing(&cause) {
            tracing::warn!(%cause, "the database does not answer");
            return unavailable("The database is busy or unreachable");
        }
        Error::internal("using the database", cause)
    }
}

/// 503 with the advice to come back in a second.
pub(crate) fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::StoreUnavailable, message).with_retry_after(1)
}

/// Replaces the general text of a uniqueness conflict by one that names the thing.
pub(crate) fn on_conflict<T>(result: std::result::Result<T, DbErr>, explain: impl FnOnce() -> Error) -> Result<T> {
    result.map_err(|cause| match cause.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => explain(),
        _ => cause.into(),
    })
}

/// What is wrong with a value that Postgres refuses because there is no such text or moment there: SQLite would just not
/// find it.
fn unfit(cause: &DbErr) -> Option<&'static str> {
    match refusal(cause).as_deref() {
        Some("22021") => Some("A text holds a NUL character, which no text here does"),
        Some("22008") => Some("A moment is before or after all that can be kept"),
        _ => None,
    }
}

/// Whether SQLite or Postgres ended a statement because its time was over.
fn is_late(cause: &DbErr) -> bool {
    matches!(refusal(cause).as_deref(), Some("9" | "57014"))
}

/// The code with which a database refused a statement.
fn refusal(cause: &DbErr) -> Option<Cow<'_, str>> {
    let (DbErr::Exec(RuntimeErr::SqlxError(source)) | DbErr::Query(RuntimeErr::SqlxError(source))) = cause else {
        return None;
    };
    let sqlx::Error::Database(database) = source.as_ref() else { return None };
    database.code()
}

/// Whether the same statement may succeed later: locked, full, read-only, unreachable, cancelled.
fn is_passing(cause: &DbErr) -> bool {
    let (DbErr::Conn(runtime) | DbErr::Exec(runtime) | DbErr::Query(runtime)) = cause else {
        return matches!(cause, DbErr::ConnectionAcquire(_));
    };
    let RuntimeErr::SqlxError(source) = runtime else {
        return matches!(cause, DbErr::Conn(_));
    };
    match source.as_ref() {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            if database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                code.parse().is_ok_and(sqlite_passes)
            } else {
                postgres_passes(&code)
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN; the low byte of an extended code is its family.
fn sqlite_passes(code: u32) -> bool {
    matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14)
}

/// Connection exceptions, resources, operator intervention, lost races, lock and statement timeouts, read-only.
fn postgres_passes(code: &str) -> bool {
    ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class))
        || ["40001", "40P01", "55P03", "25006"].contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_or_full_database_passes_and_a_bad_statement_does_not() {
        assert!([5, 6, 261, 517, 8, 1032, 13, 10, 778, 14].into_iter().all(sqlite_passes));
        assert!(![1, 11, 19, 26].into_iter().any(sqlite_passes));
        assert!(["08006", "53300", "57014", "57P01", "40P01", "55P03"].into_iter().all(postgres_passes));
        assert!(!["42P01", "23505", "22001"].into_iter().any(postgres_passes));
    }

    #[test]
    fn a_lost_pool_is_unavailable_and_says_when_to_come_back() {
        let error = Error::from(DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout));
        assert_eq!(error.code(), ErrorCode::StoreUnavailable);
        assert_eq!(error.retry_after(), Some(1));
    }
}
