//! Statements that are put together here: what SeaORM's builder says too slowly (thousands of rows at once) or not at all
//! (aggregates of each database's own). Values are always bound, never written into the text.

use std::fmt::Write as _;

use sea_orm::{DbBackend, Statement, Value};

/// Up to how many values are rounded up: SQLite takes 32,766 in a statement.
const ROUNDED: usize = 16_384;

/// A statement that is being written.
pub(super) struct Sql {
    backend: DbBackend,
    text: String,
    values: Vec<Value>,
}

impl Sql {
    /// An empty one.
    pub(super) fn new(backend: DbBackend) -> Self {
        Sql { backend, text: String::with_capacity(512), values: Vec::new() }
    }

    /// Adds words of ours.
    pub(super) fn words(&mut self, words: &str) -> &mut Self {
        self.text.push_str(words);
        self
    }

    /// Adds the name of a column that no index is to be chosen for on SQLite, which does not know that another one of the
    /// statement's conditions leaves fewer rows.
    pub(super) fn unindexed(&mut self, column: &str) -> &mut Self {
        if self.backend != DbBackend::Postgres {
            self.words("+");
        }
        self.words(column)
    }

    /// Adds a value.
    pub(super) fn value(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        match self.backend {
            DbBackend::Postgres => drop(write!(self.text, "${}", self.values.len())),
            _ => self.text.push('?'),
        }
        self
    }

    /// Adds values in brackets. How many there are is rounded up by saying the last one again, so that the database meets
    /// few different statements and keeps them prepared.
    pub(super) fn values<T: Into<Value> + Clone>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Self {
        let mut values: Vec<T> = values.into_iter().collect();
        let rounded = values.len().next_power_of_two();
        if let Some(last) = values.last().cloned().filter(|_| rounded <= ROUNDED) {
            values.resize(rounded, last);
        }
        self.row(values)
    }

    /// Adds values in brackets, as many as there are.
    pub(super) fn row<T: Into<Value>>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Self {
        self.words("(");
        for (at, value) in values.into_iter().enumerate() {
            self.words(if at == 0 { "" } else { ", " }).value(value);
        }
        self.words(")")
    }

    /// The statement.
    pub(super) fn finish(self) -> Statement {
        Statement::from_sql_and_values(self.backend, self.text, self.values)
    }
}

/// Rows of one statement, largest first. Few sizes: the text of each is the same every time, so it stays prepared, and a
/// row costs its values and not the building and parsing of SQL.
pub(super) const SLICES: [usize; 3] = [100, 10, 1];

/// The statement that inserts `rows` with these columns. `after` is what stands behind the rows.
pub(super) fn insertion<R: IntoIterator<Item = Value>>(
    backend: DbBackend,
    (table, columns): (&str, &[&str]),
    rows: impl Iterator<Item = R>,
    after: &str,
) -> Statement {
    let mut sql = Sql::new(backend);
    sql.words("INSERT INTO ").words(table).words(" (").words(&columns.join(", ")).words(") VALUES ");
    for (at, row) in rows.enumerate() {
        sql.words(if at == 0 { "" } else { ", " }).row(row);
    }
    sql.words(after);
    sql.finish()
}
