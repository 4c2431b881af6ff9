//! Reads sqlite databases from untrusted sources.
//!
//! A database can run code: views, virtual tables and generated columns are evaluated when they
//! are read. So the database is opened read-only with sqlite's own protections, must have none of
//! these, is only queried with `SELECT column FROM table`, and sqlite is stopped if it works too
//! long or meets values that are too long. Triggers are ignored: they run on changes only, a
//! read-only connection makes none, and they are disabled as well. Every database of `opm` has
//! two.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

/// Longest value or statement, in bytes. The largest values are CSVs, which have columns of their
/// own, so this is more than the size that a cluster accepts.
const LENGTH: i32 = 32 << 20;
/// Instructions of sqlite's virtual machine between two calls of the progress handler.
const STEP: i32 = 100_000;
/// Calls of the progress handler after which work is stopped; reading a million rows needs some
/// 200.
const STEPS: u32 = 100_000;

/// The reason why a database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// The database has more than ordinary tables, their indexes and triggers.
    #[error("The database has the {kind} `{}`; only tables, indexes and triggers are allowed", name.chars().take(100).collect::<String>().escape_debug())]
    Kind {
        /// Kind of the unexpected object.
        kind: &'static str,
        /// Name of the object.
        name: String,
    },
    /// There is no such table or column.
    #[error("The database has no table `{table}` with a column `{column}`")]
    Unknown {
        /// Name of the table.
        table: String,
        /// Name of the column.
        column: String,
    },
    /// A value is neither text nor number, or is not UTF-8.
    #[error("A value in the column `{column}` of the table `{table}` is not text")]
    NotText {
        /// Name of the table.
        table: String,
        /// Name of the column.
        column: String,
    },
    /// An error of sqlite: damaged, not a database, too much work.
    #[error("The database cannot be read")]
    Sqlite(#[from] rusqlite::Error),
}

/// A database that has only ordinary tables.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    /// The columns of each table.
    tables: BTreeMap<String, BTreeSet<String>>,
}

impl Database {
    /// Opens a database for reading. The file must not change while it is open.
    ///
    /// # Errors
    ///
    /// If it is no database, is damaged, or has views, virtual tables or generated columns.
    pub fn open(path: &Path) -> Result<Self, SqliteError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        // Immutable: sqlite then neither looks for a journal beside the file nor applies one.
        let mut connection = Connection::open_with_flags(immutable(path), flags)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
        for (limit, value) in [
            (Limit::SQLITE_LIMIT_LENGTH, LENGTH),
            (Limit::SQLITE_LIMIT_SQL_LENGTH, 1 << 20),
            (Limit::SQLITE_LIMIT_COLUMN, 200),
            (Limit::SQLITE_LIMIT_EXPR_DEPTH, 50),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
            (Limit::SQLITE_LIMIT_VDBE_OP, 100_000),
            (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        ] {
            connection.set_limit(limit, value)?;
        }
        // Finds damaged pages before they are used, and limits memory.
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.pragma_update(None, "cache_size", -16_384)?;
        stop_endless_work(&mut connection, STEP, STEPS)?;
        let tables = tables(&connection)?;
        Ok(Self { connection, tables })
    }

    /// Returns true if there is such a table with such a column.
    pub fn has(&self, table: &str, column: &str) -> bool {
        self.tables
            .get(table)
            .is_some_and(|columns| columns.contains(column))
    }

    /// Calls `each` with every row of a table: one text per column, `None` for NULL. Ends at the
    /// first error.
    ///
    /// # Errors
    ///
    /// [`SqliteError`] if the table cannot be read, and the errors of `each`.
    pub fn rows<E: From<SqliteError>>(
        &self,
        table: &str,
        columns: &[&str],
        each: &mut dyn FnMut(Vec<Option<String>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut quoted = Vec::new();
        for column in columns {
            if !self.has(table, column) {
                let (table, column) = (table.to_owned(), (*column).to_owned());
                return Err(SqliteError::Unknown { table, column }.into());
            }
            quoted.push(quote(column));
        }
        // NOT INDEXED: an index of a hostile database may differ from its table.
        let (columns_list, from) = (quoted.join(", "), quote(table));
        let sql = format!("SELECT {columns_list} FROM main.{from} NOT INDEXED");
        let mut statement = self.connection.prepare(&sql).map_err(SqliteError::from)?;
        let mut rows = statement.query([]).map_err(SqliteError::from)?;
        while let Some(row) = rows.next().map_err(SqliteError::from)? {
            let mut texts = Vec::with_capacity(columns.len());
            for (index, column) in columns.iter().enumerate() {
                let value = row.get_ref(index).map_err(SqliteError::from)?;
                let text = text(value).ok_or_else(|| SqliteError::NotText {
                    table: table.to_owned(),
                    column: (*column).to_owned(),
                })?;
                texts.push(text);
            }
            each(texts)?;
        }
        Ok(())
    }
}

/// Returns a file's name as an sqlite URI, the only form that can have the `immutable` option.
fn immutable(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;

    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?mode=ro&immutable=1");
    uri
}

/// Quotes a name for a statement.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Converts a value to text; `None` if it is not UTF-8.
fn text(value: ValueRef<'_>) -> Option<Option<String>> {
    match value {
        ValueRef::Null => Some(None),
        ValueRef::Integer(number) => Some(Some(number.to_string())),
        ValueRef::Real(number) => Some(Some(number.to_string())),
        // opm writes some texts as blobs.
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            let text = std::str::from_utf8(bytes).ok()?;
            Some(Some(text.to_owned()))
        }
    }
}

/// Interrupts statements that do not end, which a hostile database may cause. All statements
/// together may run for `steps` times `step` instructions of sqlite's virtual machine.
fn stop_endless_work(
    connection: &mut Connection,
    step: i32,
    steps: u32,
) -> Result<(), rusqlite::Error> {
    let mut taken = 0_u32;
    connection.progress_handler(
        step,
        Some(move || {
            taken = taken.saturating_add(1);
            taken > steps
        }),
    )
}

/// Returns the tables and their columns, after checking that there is nothing else.
fn tables(connection: &Connection) -> Result<BTreeMap<String, BTreeSet<String>>, SqliteError> {
    let mut names = Vec::new();
    let mut statement =
        connection.prepare("SELECT type, name, coalesce(sql, '') FROM main.sqlite_schema")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name, sql): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let is_virtual = sql
            .trim_start()
            .to_ascii_lowercase()
            .starts_with("create virtual");
        let other = match kind.as_str() {
            "table" if is_virtual => "virtual table",
            "table" => {
                names.push(name);
                continue;
            }
            "index" | "trigger" => continue,
            "view" => "view",
            _ => "unknown thing",
        };
        return Err(SqliteError::Kind { kind: other, name });
    }
    let mut tables = BTreeMap::new();
    for name in names {
        let mut columns = BTreeSet::new();
        let sql = format!("PRAGMA main.table_xinfo({})", quote(&name));
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let hidden: i64 = row.get("hidden")?;
            let column: String = row.get("name")?;
            if hidden != 0 {
                let (kind, name) = ("generated column", format!("{name}.{column}"));
                return Err(SqliteError::Kind { kind, name });
            }
            columns.insert(column);
        }
        tables.insert(name, columns);
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(sql: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let connection = Connection::open(file.path()).unwrap();
        connection.execute_batch(sql).unwrap();
        file
    }

    fn column(
        database: &Database,
        table: &str,
        column: &str,
    ) -> Result<Vec<Option<String>>, SqliteError> {
        let mut values = Vec::new();
        database.rows(table, &[column], &mut |row| {
            values.extend(row);
            Ok::<_, SqliteError>(())
        })?;
        Ok(values)
    }

    #[test]
    fn reads_texts_numbers_and_nothing() {
        let file = database(
            "CREATE TABLE t(a, \"b\"\"c\" TEXT); INSERT INTO t VALUES ('x', NULL), (7, x'79'); \
             CREATE INDEX i ON t(a);",
        );
        let open = Database::open(file.path()).unwrap();
        assert!(open.has("t", "a") && !open.has("t", "z") && !open.has("u", "a"));
        assert_eq!(
            column(&open, "t", "a").unwrap(),
            [Some("x".to_owned()), Some("7".to_owned())]
        );
        assert_eq!(
            column(&open, "t", "b\"c").unwrap(),
            [None, Some("y".to_owned())]
        );
        assert!(matches!(
            column(&open, "t", "z"),
            Err(SqliteError::Unknown { .. })
        ));
    }

    #[test]
    fn whatever_runs_code_is_refused() {
        for (what, sql) in [
            ("view", "CREATE VIEW v AS SELECT 1 AS a"),
            (
                "view",
                "CREATE VIEW v AS SELECT 1 AS a; CREATE TRIGGER g INSTEAD OF DELETE ON v BEGIN SELECT 1; END",
            ),
            (
                "generated column",
                "CREATE TABLE t(a, b AS (hex(zeroblob(1000000))))",
            ),
            ("generated column", "CREATE TABLE t(a, b AS (a) STORED)"),
        ] {
            let file = database(sql);
            match Database::open(file.path()) {
                Err(SqliteError::Kind { kind, .. }) => assert_eq!(kind, what),
                other => panic!("{what}: {other:?}"),
            }
        }
        // A virtual table with a module that this library does not have.
        let file = database(
            "CREATE TABLE t(a); PRAGMA writable_schema=on; \
             UPDATE sqlite_schema SET sql='CREATE VIRTUAL TABLE t USING evil(a)', rootpage=0",
        );
        assert!(Database::open(file.path()).is_err());
    }

    #[test]
    fn what_opm_s_databases_have_is_read() {
        for (name, sql) in [
            (
                "triggers",
                "CREATE TABLE t(a); CREATE TABLE u(a); CREATE TRIGGER g AFTER DELETE ON t \
                 BEGIN DELETE FROM u WHERE a = old.a; END; CREATE TRIGGER h BEFORE INSERT ON t \
                 BEGIN SELECT RAISE(ABORT, 'no'); END; DROP TRIGGER h; CREATE TRIGGER h AFTER \
                 UPDATE ON t BEGIN INSERT INTO u SELECT randomblob(1000); END; INSERT INTO t VALUES ('x');",
            ),
            (
                "indexes",
                "CREATE TABLE t(a UNIQUE, b); CREATE INDEX i ON t(lower(a)); CREATE INDEX j ON \
                 t(b) WHERE a NOTNULL; INSERT INTO t VALUES ('x', 1); ANALYZE;",
            ),
            (
                "keys",
                "PRAGMA foreign_keys=on; CREATE TABLE p(n PRIMARY KEY); CREATE TABLE t(i INTEGER \
                 PRIMARY KEY AUTOINCREMENT, a, FOREIGN KEY(a) REFERENCES p(n) ON DELETE CASCADE); \
                 INSERT INTO p VALUES ('x'); INSERT INTO t(a) VALUES ('x');",
            ),
            (
                "without rowid",
                "CREATE TABLE t(a TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO t VALUES ('x');",
            ),
            (
                "journal and pages",
                "PRAGMA page_size=1024; PRAGMA auto_vacuum=FULL; PRAGMA journal_mode=WAL; \
                 PRAGMA user_version=10; CREATE TABLE t(a); INSERT INTO t VALUES ('x');",
            ),
        ] {
            let file = database(sql);
            let open = Database::open(file.path()).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(
                column(&open, "t", "a").unwrap(),
                [Some("x".to_owned())],
                "{name}"
            );
        }
    }

    #[test]
    fn values_that_are_no_text_are_named() {
        let file = database("CREATE TABLE t(a); INSERT INTO t VALUES (x'ff')");
        let open = Database::open(file.path()).unwrap();
        let error = column(&open, "t", "a").unwrap_err();
        assert!(matches!(error, SqliteError::NotText { .. }), "{error}");
    }

    #[test]
    fn damaged_databases_are_errors() {
        let mut sql = String::from("CREATE TABLE t(a TEXT);");
        for number in 0..2000 {
            sql.push_str(&format!("INSERT INTO t VALUES ('{number:0>100}');"));
        }
        let file = database(&format!("BEGIN;{sql}COMMIT;"));
        let whole = fs_err::read(file.path()).unwrap();
        let mut failed = 0;
        for seed in 0..200_usize {
            let mut bytes = whole.clone();
            // Damages page headers and cell pointers, in pages all over the file.
            let at = (seed * 7919 * 64) % bytes.len();
            for byte in bytes.iter_mut().skip(at).take(40) {
                *byte = byte.wrapping_mul(31).wrapping_add(seed as u8 | 1);
            }
            fs_err::write(file.path(), &bytes).unwrap();
            let read = Database::open(file.path()).and_then(|open| column(&open, "t", "a"));
            failed += usize::from(read.is_err());
        }
        assert!(failed > 20, "{failed}");
        for bytes in [&b""[..], b"hello", &whole[..whole.len() / 2], &whole[..100]] {
            fs_err::write(file.path(), bytes).unwrap();
            let read = Database::open(file.path()).and_then(|open| column(&open, "t", "a"));
            assert!(read.is_err(), "{} bytes", bytes.len());
        }
    }

    #[test]
    fn endless_work_is_stopped() {
        let rows = |count: usize| {
            let file = database(&format!(
                "CREATE TABLE t(a); INSERT INTO t WITH RECURSIVE n(i) AS \
                 (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n;"
            ));
            let mut open = Database::open(file.path()).unwrap();
            stop_endless_work(&mut open.connection, 100, 10).unwrap();
            column(&open, "t", "a").map(|values| values.len())
        };
        assert_eq!(rows(50).unwrap(), 50);
        let stopped = rows(5000).unwrap_err();
        let SqliteError::Sqlite(error) = stopped else {
            panic!("{stopped}");
        };
        let code = error.sqlite_error_code();
        assert_eq!(code, Some(rusqlite::ErrorCode::OperationInterrupted));
    }

    #[test]
    fn odd_file_names_are_the_files_that_they_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a?mode=rwc&x#%41 .db");
        std::fs::copy(database("CREATE TABLE t(a)").path(), &path).unwrap();
        assert!(Database::open(&path).unwrap().has("t", "a"));
        assert!(Database::open(&directory.path().join("absent")).is_err());
    }
}
