//! Reads the crate's own sources, as far as the checks need to understand them: which paths a file
//! names, where, and which of its lines are tests.
//!
//! Works on tokens, not on syntax, so it sees into macros too. Comments are not paths, nor are
//! strings, unless they begin with `crate::`, `super::` or `self::`. Items below `#[cfg(test)]` are
//! left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A file under `src`.
#[derive(Debug)]
pub struct Source {
    /// Path relative to the repository, for example `src/sys/media.rs`.
    pub file: PathBuf,
    /// Its module path: `["sys", "media"]`; `["main"]` for the program itself.
    pub module: Vec<String>,
    /// Every path that the file names outside its tests, resolved from its root.
    pub mentions: Vec<Mention>,
    /// Names that its `use` items import, with the whole path of each.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// The modules that it declares with `mod name;`.
    pub declares: Vec<Declared>,
    /// Number of lines that are not tests.
    pub lines: usize,
}

/// A path such as `crate::model::Digest` or `std::fs::read`; `async` stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// Line in the file, from 1.
    pub line: usize,
    /// The segments; `*` for a glob.
    pub path: Vec<String>,
}

/// A declaration `mod name;`.
#[derive(Debug)]
pub struct Declared {
    /// The whole module path.
    pub module: Vec<String>,
    /// True if it is compiled for tests alone.
    pub test: bool,
}

/// Returns the root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns all files below a directory of the repository with one of the extensions, sorted. Build
/// output and the files that fuzzing collects are skipped.
pub fn files(directory: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let skipped = ["target", "corpus", "artifacts"];
    let mut found: Vec<PathBuf> = walkdir::WalkDir::new(root().join(directory))
        .into_iter()
        .filter_entry(|entry| !skipped.iter().any(|name| entry.file_name() == *name))
        .map(|entry| entry.expect("the repository can be read").into_path())
        .filter(|path| {
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
            path.is_file() && extensions.contains(&extension)
        })
        .map(|path| {
            path.strip_prefix(root())
                .expect("below the root")
                .to_owned()
        })
        .collect();
    found.sort();
    found
}

/// Reads a file of the repository.
pub fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file:?}: {error}"))
}

/// Returns all sources of the library and the program, without files that are tests.
pub fn sources() -> Vec<Source> {
    let all: Vec<Source> = files("src", &["rs"])
        .iter()
        .map(|file| Source::parse(file, &read(file)))
        .collect();
    let tests: BTreeSet<Vec<String>> = all
        .iter()
        .flat_map(|source| &source.declares)
        .filter(|declared| declared.test)
        .map(|declared| declared.module.clone())
        .collect();
    all.into_iter()
        .filter(|source| !tests.iter().any(|test| source.module.starts_with(test)))
        .collect()
}

impl Source {
    /// Parses one file. `file` is relative to the repository and determines the module path.
    pub fn parse(file: &Path, text: &str) -> Self {
        let stream: TokenStream = text
            .parse()
            .unwrap_or_else(|error| panic!("{} is not Rust: {error}", file.display()));
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        let module = module_of(file);
        let mut scan = Scan {
            tokens: &tokens,
            at: 0,
            module: module.clone(),
            inline: Vec::new(),
            depth: 0,
            aliases: BTreeMap::new(),
            mentions: Vec::new(),
            declares: Vec::new(),
            test_lines: 0,
        };
        scan.run();
        let mut mentions = scan.mentions;
        mentions.sort();
        mentions.dedup();
        Self {
            file: file.to_owned(),
            module,
            mentions,
            aliases: scan.aliases,
            declares: scan.declares,
            lines: text.lines().count().saturating_sub(scan.test_lines),
        }
    }

    /// Returns the top-level module to which the file belongs; `lib` for the crate root.
    pub fn top(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }
}

impl Mention {
    /// Returns the path as it would be written.
    pub fn text(&self) -> String {
        self.path.join("::")
    }
}

/// Returns the module path of a file; `src/a/b.rs` and `src/a/b/mod.rs` are both `["a", "b"]`.
fn module_of(file: &Path) -> Vec<String> {
    let inner = file.strip_prefix("src").unwrap_or(file).with_extension("");
    let mut module: Vec<String> = inner
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

/// A token with its line.
#[derive(Debug)]
struct Token {
    line: usize,
    kind: Kind,
}

#[derive(Debug, PartialEq)]
enum Kind {
    Word(String),
    /// `::`
    Separator,
    Sign(char),
    Open(char),
    Close(char),
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut colon = false;
    for tree in stream {
        let line = tree.span().start().line;
        let after_colon = std::mem::take(&mut colon);
        match tree {
            TokenTree::Ident(word) => {
                let word = word.to_string();
                let kind = Kind::Word(word.trim_start_matches("r#").to_owned());
                tokens.push(Token { line, kind });
            }
            TokenTree::Punct(sign) if sign.as_char() == ':' => {
                if after_colon {
                    tokens.pop();
                    let kind = Kind::Separator;
                    tokens.push(Token { line, kind });
                } else {
                    colon = sign.spacing() == Spacing::Joint;
                    let kind = Kind::Sign(':');
                    tokens.push(Token { line, kind });
                }
            }
            TokenTree::Punct(sign) => {
                let kind = Kind::Sign(sign.as_char());
                tokens.push(Token { line, kind });
            }
            TokenTree::Literal(literal) => {
                // #[serde(with = "crate::x")] names a path in a string.
                let text = literal.to_string();
                let inner = text.trim_matches('"');
                if ["crate::", "super::", "self::"]
                    .iter()
                    .any(|root| inner.starts_with(root))
                    && let Ok(path) = inner.parse()
                {
                    flatten_on_line(path, line, tokens);
                } else {
                    let kind = Kind::Sign('"');
                    tokens.push(Token { line, kind });
                }
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::Parenthesis => ('(', ')'),
                    Delimiter::None => (' ', ' '),
                };
                let kind = Kind::Open(open);
                tokens.push(Token { line, kind });
                flatten(group.stream(), tokens);
                let line = group.span_close().start().line;
                let kind = Kind::Close(close);
                tokens.push(Token { line, kind });
            }
        }
    }
}

fn flatten_on_line(stream: TokenStream, line: usize, tokens: &mut Vec<Token>) {
    let first = tokens.len();
    flatten(stream, tokens);
    for token in tokens.iter_mut().skip(first) {
        token.line = line;
    }
}

struct Scan<'a> {
    tokens: &'a [Token],
    at: usize,
    module: Vec<String>,
    /// Inline modules around the current token, with the depth of their brace.
    inline: Vec<(String, usize)>,
    depth: usize,
    aliases: BTreeMap<String, Vec<String>>,
    mentions: Vec<Mention>,
    declares: Vec<Declared>,
    test_lines: usize,
}

impl Scan<'_> {
    fn kind(&self, ahead: usize) -> Option<&Kind> {
        self.tokens.get(self.at + ahead).map(|token| &token.kind)
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match self.kind(ahead) {
            Some(Kind::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn line(&self) -> usize {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens.get(self.at.min(last)).map_or(0, |t| t.line)
    }

    fn run(&mut self) {
        while let Some(kind) = self.kind(0) {
            match kind {
                Kind::Sign('#') if self.is_test_attribute() => self.skip_test(),
                Kind::Word(word) if word == "mod" => self.module_item(),
                Kind::Word(word) if word == "use" && self.kind(1) != Some(&Kind::Sign('<')) => {
                    self.at += 1;
                    self.use_tree(&[]);
                }
                Kind::Word(word) if word == "async" => {
                    let line = self.line();
                    let path = vec!["async".to_owned()];
                    self.mentions.push(Mention { line, path });
                    self.at += 1;
                }
                Kind::Word(_) => self.path(),
                Kind::Open('{') => {
                    self.depth += 1;
                    self.at += 1;
                }
                Kind::Close('}') => {
                    if self.inline.last().is_some_and(|(_, d)| *d == self.depth) {
                        self.inline.pop();
                    }
                    self.depth -= 1;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
    }

    /// Returns true if `#[cfg(test)]` or `#[cfg(all(test, ...))]` begins here.
    fn is_test_attribute(&self) -> bool {
        if self.kind(1) != Some(&Kind::Open('[')) || self.word(2) != Some("cfg") {
            return false;
        }
        let words: Vec<&str> = (3..)
            .take_while(|ahead| !matches!(self.kind(*ahead), None | Some(Kind::Close(']'))))
            .filter_map(|ahead| self.word(ahead))
            .collect();
        words.contains(&"test") && !words.contains(&"not") && !words.contains(&"any")
    }

    /// Skips the attributes and the item that begin here.
    fn skip_test(&mut self) {
        let first = self.line();
        while self.kind(0) == Some(&Kind::Sign('#')) {
            self.at += 1;
            self.skip_group();
        }
        if self.word(0) == Some("pub") {
            self.at += 1;
            if self.kind(0) == Some(&Kind::Open('(')) {
                self.skip_group();
            }
        }
        if let (Some("mod"), Some(name), Some(Kind::Sign(';'))) =
            (self.word(0), self.word(1), self.kind(2))
        {
            let module = self.child(name);
            let test = true;
            self.declares.push(Declared { module, test });
        }
        let import = self.word(0) == Some("use");
        let mut last = first;
        while let Some(kind) = self.kind(0) {
            last = self.line();
            match kind {
                Kind::Sign(';') => {
                    self.at += 1;
                    break;
                }
                Kind::Open('{') if !import => {
                    self.skip_group();
                    last = self.tokens[self.at - 1].line;
                    break;
                }
                Kind::Open(_) => self.skip_group(),
                _ => self.at += 1,
            }
        }
        self.test_lines += last + 1 - first;
    }

    /// Skips a group with its delimiters.
    fn skip_group(&mut self) {
        let mut open = 0usize;
        while let Some(kind) = self.kind(0) {
            match kind {
                Kind::Open(_) => open += 1,
                Kind::Close(_) => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                break;
            }
        }
    }

    fn module_item(&mut self) {
        if let Some(name) = self.word(1).map(str::to_owned) {
            match self.kind(2) {
                Some(Kind::Sign(';')) => {
                    let module = self.child(&name);
                    let test = false;
                    self.declares.push(Declared { module, test });
                }
                Some(Kind::Open('{')) => self.inline.push((name, self.depth + 1)),
                _ => {}
            }
        }
        self.at += 2;
    }

    fn here(&self) -> Vec<String> {
        let inline = self.inline.iter().map(|(name, _)| name.clone());
        // The program's root is a crate of its own.
        let file = self.module.iter().filter(|part| *part != "main").cloned();
        file.chain(inline).collect()
    }

    fn child(&self, name: &str) -> Vec<String> {
        let mut module = self.here();
        module.push(name.to_owned());
        module
    }

    /// Reads one tree of a `use` item; starts after `use`, or after `{` or `,` inside a group.
    fn use_tree(&mut self, prefix: &[String]) {
        let mut path = prefix.to_vec();
        loop {
            let line = self.line();
            match self.kind(0) {
                Some(Kind::Separator) => self.at += 1,
                Some(Kind::Word(word)) if word == "as" => {
                    let alias = self.word(1).unwrap_or("_").to_owned();
                    let full = self.resolve(&path);
                    self.aliases.insert(alias, full);
                    self.at += 2;
                }
                Some(Kind::Word(word)) => {
                    path.push(word.clone());
                    self.at += 1;
                    if self.kind(0) != Some(&Kind::Separator) {
                        self.import(line, &mut path);
                    }
                }
                Some(Kind::Sign('*')) => {
                    path.push("*".to_owned());
                    self.at += 1;
                    self.import(line, &mut path);
                }
                Some(Kind::Open('{')) => {
                    self.at += 1;
                    while !matches!(self.kind(0), None | Some(Kind::Close('}'))) {
                        self.use_tree(&path);
                        if self.kind(0) == Some(&Kind::Sign(',')) {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                _ => return,
            }
        }
    }

    fn import(&mut self, line: usize, path: &mut Vec<String>) {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let full = self.resolve(path);
        if let Some(last) = full.last() {
            self.aliases.insert(last.clone(), full.clone());
        }
        self.mentions.push(Mention { line, path: full });
    }

    /// Reads a path in an expression, a type or an attribute.
    fn path(&mut self) {
        let line = self.line();
        let continues = |kind: Option<&Kind>| {
            matches!(kind, Some(Kind::Separator)) || matches!(kind, Some(Kind::Sign('.')))
        };
        let starts = self.at == 0 || !continues(self.tokens.get(self.at - 1).map(|t| &t.kind));
        let mut path = Vec::new();
        while let Some(word) = self.word(0) {
            path.push(word.to_owned());
            self.at += 1;
            if self.kind(0) != Some(&Kind::Separator) || self.word(1).is_none() {
                break;
            }
            self.at += 1;
        }
        let full = self.resolve(&path);
        if starts && (path.len() > 1 || full.len() > 1) {
            self.mentions.push(Mention { line, path: full });
        }
    }

    /// Resolves a path from its root: `super`, `self` and imported names are replaced.
    fn resolve(&self, path: &[String]) -> Vec<String> {
        let rooted = |mut module: Vec<String>, rest: &[String]| {
            module.insert(0, "crate".to_owned());
            module.extend_from_slice(rest);
            module
        };
        match path.first().map(String::as_str) {
            Some("self") => rooted(self.here(), &path[1..]),
            Some("super") => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let mut module = self.here();
                module.truncate(module.len().saturating_sub(ups));
                rooted(module, &path[ups..])
            }
            Some(first) => match self.aliases.get(first) {
                Some(alias) => alias.iter().chain(&path[1..]).cloned().collect(),
                None => path.to_vec(),
            },
            None => Vec::new(),
        }
    }
}
