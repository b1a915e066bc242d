//! Running saves as JSON.

use serde_json::{Value, json};

use super::json::{head, millis};
use crate::app::App;
use crate::verbs::watch::{Save, Watched};

/// `{"messageType":"watch", …}`: one look.
pub(crate) fn look(app: &App, watched: &Watched) -> Value {
    let backups: Vec<Value> = watched.saves.values().rev().map(|one| save(app, one)).collect();
    json!({ "messageType": "watch", "at": watched.at, "running": watched.running(), "backups": backups })
}

fn save(app: &App, save: &Save) -> Value {
    let (done, planned) = save.counts();
    let owner = save.status.document.as_ref().and_then(|document| document.owner.as_ref());
    let mut value = head(save.status.id);
    value["state"] = save.status.state().name().into();
    value["filesDone"] = json!(done.map(|done| done.files));
    value["filesTotal"] = json!(planned.map(|planned| planned.files));
    value["bytesDone"] = json!(done.map(|done| done.bytes));
    value["bytesTotal"] = json!(planned.map(|planned| planned.bytes));
    value["bytesPerSecond"] = json!(save.rate.filter(|_| save.is_running()));
    value["secondsRemaining"] = json!(save.remaining().map(|left| left.as_secs()));
    value["ageMillis"] = json!(save.status.age.map(millis));
    value["stale"] = save.is_stale(app.config.settings.stale_after).into();
    value["owner"] = json!(owner);
    value
}
