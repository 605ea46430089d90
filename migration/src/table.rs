//! Short forms for what every migration says: tables, indexes, references.

use sea_orm_migration::prelude::*;

/// A table with these columns.
pub(crate) fn table<const N: usize>(name: &'static str, columns: [ColumnDef; N]) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(name);
    for mut column in columns {
        table.col(&mut column);
    }
    table
}

/// `column` refers to the id of `parent` and goes when the parent goes.
pub(crate) fn belongs_to(
    table: &mut TableCreateStatement,
    name: &'static str,
    column: &'static str,
    parent: &'static str,
) -> TableCreateStatement {
    let mut key = ForeignKey::create();
    key.from(name, column).to(parent, "id").on_delete(ForeignKeyAction::Cascade);
    table.foreign_key(&mut key).take()
}

/// A primary key over several columns, in this order.
pub(crate) fn primary_key<const N: usize>(
    table: &mut TableCreateStatement,
    columns: [&'static str; N],
) -> TableCreateStatement {
    let mut key = Index::create();
    for column in columns {
        key.col(column);
    }
    table.primary_key(&mut key).take()
}

/// An index named after its table and columns.
pub(crate) async fn index<const N: usize>(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: [&'static str; N],
    unique: bool,
) -> Result<(), DbErr> {
    let mut index = Index::create();
    index.name(format!("{table}__{}", columns.join("__"))).table(table);
    if unique {
        index.unique();
    }
    for column in columns {
        index.col(column);
    }
    manager.create_index(index).await
}
