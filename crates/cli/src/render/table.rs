//! Aligned tables that fit the terminal. Where there is too little room for columns, each row becomes a block of lines.

use comfy_table::{Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, TableStyle, Width};
use milepost::BackupState;

use crate::out::clean;

/// Below this many columns a table that does not fit is shown as blocks: wrapped cells of two letters help nobody.
const NARROW: usize = 60;
/// The least that blocks are wrapped to.
const LEAST: usize = 10;

/// How output is laid out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// Columns of the terminal; `None` for a file or a pipe, where nothing is wrapped.
    pub(crate) width: Option<usize>,
    /// May colours be used? They never carry meaning alone.
    pub(crate) colour: bool,
}

impl Style {
    /// The style for stdout: `COLUMNS` wins over the terminal's own width, `NO_COLOR` and a dumb terminal forbid colours.
    pub(crate) fn detect(terminal: bool, get: impl Fn(&str) -> Option<String>) -> Self {
        let columns =
            get("COLUMNS").and_then(|text| text.parse().ok()).filter(|columns| (1..=10_000).contains(columns));
        // Some pseudo-terminals say that they have no columns at all.
        let own = || terminal.then(|| Table::new().width().filter(|columns| *columns > 0).map_or(80, usize::from));
        Self { width: columns.or_else(own), colour: terminal && colours_allowed(get) }
    }
}

/// Do `NO_COLOR` and `TERM` allow colours?
pub(crate) fn colours_allowed(get: impl Fn(&str) -> Option<String>) -> bool {
    get("NO_COLOR").is_none_or(|value| value.is_empty()) && get("TERM").is_none_or(|term| term != "dumb")
}

/// One column: its title, and whether it holds numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
}

/// A column of text.
pub(crate) const fn left(title: &'static str) -> Column {
    Column { title, right: false }
}

/// A column of numbers.
pub(crate) const fn right(title: &'static str) -> Column {
    Column { title, right: true }
}

/// Rows under titles. Cells are cleaned of control characters. Ends with a line end, unless there are no rows.
pub(crate) fn table(columns: &[Column], rows: &[Vec<String>], style: Style) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let natural = lines(&grid(columns, rows, style, None));
    match style.width {
        Some(width) if natural.lines().any(|line| visible(line) > width) => {
            if width < NARROW {
                blocks(columns, rows, width)
            } else {
                lines(&grid(columns, rows, style, Some(width)))
            }
        }
        _ => natural,
    }
}

fn grid(columns: &[Column], rows: &[Vec<String>], style: Style, width: Option<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.set_content_arrangement(match width {
        Some(_) => ContentArrangement::Dynamic,
        None => ContentArrangement::Disabled,
    });
    if let Some(width) = width {
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    }
    if style.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(columns.iter().map(|column| Cell::new(column.title)));
    for row in rows {
        table.add_row(row.iter().map(|text| {
            let cell = Cell::new(clean(text));
            match colour_of(text) {
                Some(colour) if style.colour => cell.fg(colour),
                _ => cell,
            }
        }));
    }
    // Numbers with their units in one piece, if there is room for that too.
    let words = width
        .and_then(|width| whole_words(columns, rows, width, true).or_else(|| whole_words(columns, rows, width, false)));
    for (at, column) in columns.iter().enumerate() {
        if let Some(shown) = table.column_mut(at) {
            // No gap before the first column: lines begin with the id, for people who cut them.
            shown.set_padding((0, 2));
            if column.right {
                shown.set_cell_alignment(CellAlignment::Right);
            }
            if let Some(words) = &words {
                shown.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(words[at])));
            }
        }
    }
    table
}

/// For each column the room that its longest word needs, gap included, where all of that fits: `INCOMPLETE` in two pieces
/// helps nobody. The last column, which holds texts of any sort, is asked for no more than a little.
fn whole_words(columns: &[Column], rows: &[Vec<String>], width: usize, numbers: bool) -> Option<Vec<u16>> {
    const GAP: usize = 2;
    const LAST: usize = 12;
    let longest = |text: &str| text.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
    let mut words: Vec<usize> = columns.iter().map(|column| longest(column.title)).collect();
    for row in rows {
        for ((word, cell), column) in words.iter_mut().zip(row).zip(columns) {
            let cell = clean(cell);
            *word = (*word).max(if numbers && column.right { cell.chars().count() } else { longest(&cell) });
        }
    }
    if let Some(last) = words.last_mut() {
        *last = (*last).min(LAST);
    }
    let fits = words.iter().map(|word| word + GAP).sum::<usize>() <= width;
    fits.then(|| words.iter().map(|word| u16::try_from(word + GAP).unwrap_or(u16::MAX)).collect())
}

/// States stand out; their word is there anyway.
fn colour_of(text: &str) -> Option<Color> {
    [
        (BackupState::Completed, Color::Green),
        (BackupState::InProgress, Color::Blue),
        (BackupState::Deleting, Color::Yellow),
        (BackupState::Failed, Color::Red),
        (BackupState::Corrupt, Color::Red),
    ]
    .into_iter()
    .find(|(state, _)| state.name() == text)
    .map(|(_, colour)| colour)
}

fn lines(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The characters of a line without its escape sequences.
fn visible(line: &str) -> usize {
    let mut count = 0;
    let mut inside = false;
    for c in line.chars() {
        match c {
            '\u{1b}' => inside = true,
            _ if inside => inside = !c.is_ascii_alphabetic(),
            _ => count += 1,
        }
    }
    count
}

fn blocks(columns: &[Column], rows: &[Vec<String>], width: usize) -> String {
    let width = width.max(LEAST);
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        for (column, cell) in columns.iter().zip(row) {
            if !cell.is_empty() {
                text.push_str(&wrapped(&format!("{}: {}", column.title, clean(cell)), width));
            }
        }
    }
    text
}

/// Lines of at most `width` characters, cut where the words allow, else anywhere; later lines are indented.
fn wrapped(text: &str, width: usize) -> String {
    const INDENT: &str = "  ";
    let mut out = String::new();
    let mut rest: Vec<char> = text.chars().collect();
    let mut first = true;
    while !rest.is_empty() {
        let indent = if first { "" } else { INDENT };
        let room = width.saturating_sub(indent.len()).max(1);
        let cut = if rest.len() <= room {
            rest.len()
        } else {
            rest[..=room].iter().rposition(|c| *c == ' ').filter(|at| *at > 0).unwrap_or(room)
        };
        let later = rest.split_off(cut);
        out.push_str(indent);
        out.extend(rest.iter());
        out.push('\n');
        rest = later.into_iter().skip_while(|c| *c == ' ').collect();
        first = false;
    }
    out
}

/// `name  value` lines, aligned; an absent value's line is left out.
pub(crate) fn fields(fields: &[(&'static str, Option<String>)], style: Style) -> String {
    let rows: Vec<Vec<String>> =
        fields.iter().filter_map(|(name, value)| Some(vec![format!("{name}:"), value.clone()?])).collect();
    let longest = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0);
    let width = style.width.unwrap_or(usize::MAX).max(LEAST);
    // Aligned values would leave too little room: then none is aligned.
    let narrow = width < NARROW;
    rows.iter()
        .map(|row| {
            let value = clean(&row[1]);
            let line = format!("{:longest$}  {value}", row[0]);
            // A long value is left whole where lines are not wrapped by us: people copy ids and hashes.
            if line.chars().count() <= width && !narrow {
                format!("{line}\n")
            } else {
                wrapped(&format!("{} {value}", row[0]), width)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Vec<Column>, Vec<Vec<String>>) {
        let columns = vec![left("BACKUP"), left("STATE"), right("FILES"), right("SIZE"), left("NOTE")];
        let row = |texts: [&str; 5]| texts.map(str::to_owned).to_vec();
        let long = "segments/000001.log: no such file or directory; ".repeat(4);
        let rows = vec![
            row(["1/100/2", "COMPLETED", "12", "1.0 GiB", ""]),
            row(["4294967295/18446744073709551615/4294967295", "FAILED", "3", "17 B", &long]),
            row(["2/100/2", "CORRUPT", "", "", "does not\u{1b}[31m parse: ünïcödé"]),
        ];
        (columns, rows)
    }

    #[test]
    fn tables_fit_from_20_to_200_columns() {
        let (columns, rows) = sample();
        for width in [1, 5, 20, 40, 59, 60, 80, 120, 200, 400] {
            let text = table(&columns, &rows, Style { width: Some(width), colour: false });
            for line in text.lines() {
                assert!(line.chars().count() <= width.max(LEAST), "{width}: {line:?}");
            }
            assert!(!text.contains('\u{1b}'), "hostile text must not reach the terminal as it is");
            assert!(text.contains("COMPLETED") || width < 20, "{width}: {text}");
        }
    }

    #[test]
    fn words_stay_whole_where_there_is_room_for_them() {
        let columns = [left("CHECKPOINT"), left("STATE"), right("PARTITIONS"), right("SIZE"), left("NOTE")];
        let note = "no copy of partition 2, 3, 4 and more, and nobody knows why that may be so";
        let rows = [["101", "INCOMPLETE", "1/2", "2.5 MiB", note].map(str::to_owned).to_vec()];
        for width in [60, 64, 80] {
            let text = table(&columns, &rows, Style { width: Some(width), colour: false });
            assert!(text.contains("INCOMPLETE") && text.contains("PARTITIONS"), "{width}: {text}");
        }
    }

    #[test]
    fn a_pipe_gets_one_line_for_each_row() {
        let (columns, rows) = sample();
        let text = table(&columns, &rows, Style::default());
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.starts_with("BACKUP "), "{text}");
        let at = text.lines().next().unwrap().find("STATE").unwrap();
        assert!(text.lines().nth(1).unwrap()[at..].starts_with("COMPLETED"), "{text}");
        assert_eq!(table(&columns, &[], Style::default()), "");
    }

    #[test]
    fn colours_are_added_only_where_allowed() {
        let (columns, rows) = sample();
        let coloured = table(&columns, &rows, Style { width: Some(400), colour: true });
        assert!(coloured.contains("\u{1b}[") && coloured.contains("FAILED"), "{coloured}");
        let get = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        };
        assert!(Style::detect(true, get(&[])).colour);
        assert!(!Style::detect(true, get(&[("NO_COLOR", "1")])).colour);
        assert!(!Style::detect(true, get(&[("TERM", "dumb")])).colour);
        assert!(!Style::detect(false, get(&[])).colour);
        assert_eq!(Style::detect(false, get(&[("COLUMNS", "20")])).width, Some(20));
        assert_eq!(Style::detect(false, get(&[("COLUMNS", "wide")])).width, None);
        assert_eq!(Style::detect(false, get(&[("COLUMNS", "0")])).width, None);
    }

    #[test]
    fn fields_are_aligned_and_wrapped() {
        let some = |text: &str| Some(text.to_owned());
        let list = [("backup", some("1/100/2")), ("owner", None), ("failure", some("a reason of several words"))];
        let text = fields(&list, Style::default());
        assert_eq!(text, "backup:   1/100/2\nfailure:  a reason of several words\n");
        for width in [1, 10, 20] {
            let text = fields(&list, Style { width: Some(width), colour: false });
            assert!(text.lines().all(|line| line.chars().count() <= width.max(LEAST)), "{text}");
        }
    }
}
