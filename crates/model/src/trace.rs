//! A path through the model, as people read it.

use crate::check::Act;
use crate::cluster::Cluster;
use crate::explore::Path;
use crate::scenarios::Scenario;
use crate::state::State;
use crate::words::*;

/// Prints each step with what it leaves behind, and what an operator could then not mend.
pub(crate) fn trace(m: &Scenario, path: &[(State, Option<Act>)]) {
    for (k, (s, a)) in path.iter().enumerate() {
        let Some(a) = a else { break };
        let next = &path[k + 1].0;
        let what = match *a {
            Act::Step { w, sel, fault } => {
                let f = match fault {
                    Fault::None => "",
                    Fault::Lost => "  [applied, reply lost]",
                    Fault::Twice => "  [a copy stays under way]",
                    Fault::Delayed => "  [delayed]",
                };
                let pc = s.act[w as usize].pc;
                let sel = if pc == Pc::Upload { format!(" f{sel}") } else { String::new() };
                format!("{:<2} {pc:?}{sel} -> {:?}{f}", name(w as usize), next.act[w as usize].pc)
            }
            Act::Land(i) => format!("-- zombie lands: {:?}", s.net[i as usize]),
            Act::Drop(i) => format!("-- lost for good: {:?}", s.net[i as usize]),
            Act::Cancel(w) => format!("{:<2} local error or cancel", name(w as usize)),
            Act::Kill(w) => format!("{:<2} killed", name(w as usize)),
            Act::RestartRestore => "R  killed, run again".into(),
            Act::Spoil => "-- somebody writes nonsense over the status".into(),
            Act::Mend => "-- somebody puts back what stood there".into(),
        };
        let st = next.status.map_or("-".into(), |d| format!("{d:?}"));
        let fl: Vec<String> = next.files.iter().map(|b| if *b == 0 { "-".into() } else { format!("v{b}") }).collect();
        println!(
            "  {:>2}. {what:<58} | {st} | {} | meta {:?} {}",
            k + 1,
            fl.join(" "),
            next.meta.map(|m| m.to_vec()).unwrap_or_default(),
            if next.net.is_empty() { String::new() } else { format!("| in flight {:?}", next.net) }
        );
    }
    let Some((last, _)) = path.last() else { return };
    if let Err(e) = m.heal(last) {
        println!("      (heal fails at: {e})");
    }
}

/// The same of cluster.json.
pub(crate) fn base_trace(path: &Path<Cluster>) {
    for (number, pair) in path.windows(2).enumerate() {
        let ((_, act), (next, _)) = (&pair[0], &pair[1]);
        let Some(act) = act else { break };
        println!("  {:>2}. {:<24} | {next:?}", number + 1, format!("{act:?}"));
    }
}
