//! `config show`: every setting, its value, and where it was given.

use milepost::Result;
use serde_json::{Value, json};

use super::exit;
use crate::app::App;
use crate::config_show::Shown;
use crate::render::table::{left, table};

/// # Errors
/// Target where stdout cannot be written.
pub(super) fn show(app: &App) -> Result<u8> {
    let shown = &app.config.shown;
    if app.json {
        let settings: Vec<Value> = shown.iter().map(as_json).collect();
        app.out.line(&format!("{:#}", json!({ "settings": settings })))?;
    } else {
        let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
        app.out.text(&table(&[left("SETTING"), left("VALUE"), left("ORIGIN"), left("GIVEN AS")], &rows, app.style))?;
    }
    Ok(exit::OK)
}

fn origin(shown: &Shown) -> &'static str {
    shown.origin.map_or("DEFAULT", crate::config::Origin::name)
}

fn row(shown: &Shown) -> Vec<String> {
    let value = shown.value.clone().unwrap_or_else(|| "-".to_owned());
    vec![shown.name.to_owned(), value, origin(shown).to_ascii_lowercase(), shown.spelled.clone().unwrap_or_default()]
}

fn as_json(shown: &Shown) -> Value {
    json!({
        "name": shown.name,
        "value": shown.value.as_ref().filter(|_| !shown.redacted),
        "redacted": shown.redacted,
        "origin": origin(shown),
        "givenAs": shown.spelled,
    })
}
