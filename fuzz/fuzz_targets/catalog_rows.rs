//! SQLite databases of older catalogs: the input is a file that sqlite opens.
#![no_main]

use std::io::Cursor;

use airferry::sys::scratch::ScratchFile;
use airferry::sys::sqlite::{Database, SqliteError};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = ScratchFile::of(&mut Cursor::new(bytes), 1 << 20);
    let Ok(file) = file else { return };
    if let Ok(database) = Database::open(file.path()) {
        for table in ["operatorbundle", "related_image"] {
            for column in ["name", "image", "bundlepath"] {
                let _ = database.rows::<SqliteError>(table, &[column], &mut |_| Ok(()));
            }
        }
    }
});
