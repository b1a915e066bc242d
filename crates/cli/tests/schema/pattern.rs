//! The few regular expressions that the schemas use: `^…$` of literals, classes, groups with `|`, `.`, and the repeats `*`, `+`,
//! `?`, `{n}`, `{m,n}`. By trying; the texts are short.

/// Does all of `text` match? A pattern that ends without `$` leaves the rest open.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.strip_prefix('^').expect("patterns begin with ^").chars().collect();
    let (pattern, open) = match pattern.split_last() {
        Some(('$', rest)) => (rest, false),
        _ => (&pattern[..], true),
    };
    let text: Vec<char> = text.chars().collect();
    ends(pattern, &text, 0).into_iter().any(|end| open || end == text.len())
}

/// Where a match that begins at `from` may end.
fn ends(pattern: &[char], text: &[char], from: usize) -> Vec<usize> {
    let alternatives = split(pattern);
    if alternatives.len() > 1 {
        return alternatives.into_iter().flat_map(|one| ends(one, text, from)).collect();
    }
    let Some((atom, rest)) = atom(pattern) else { return vec![from] };
    let (least, most, rest) = repeats(rest);
    let mut found = Vec::new();
    let mut at = vec![from];
    for n in 0..=most {
        if n >= least {
            found.extend(at.iter().flat_map(|at| ends(rest, text, *at)));
        }
        at = at.into_iter().flat_map(|at| once(atom, text, at)).collect();
        if at.is_empty() {
            break;
        }
    }
    found
}

fn once(atom: &[char], text: &[char], at: usize) -> Vec<usize> {
    if let ['(', inner @ .., ')'] = atom {
        return ends(inner, text, at);
    }
    let Some(c) = text.get(at) else { return Vec::new() };
    let fits = match atom {
        ['.'] => true,
        ['\\', literal] => c == literal,
        ['[', class @ .., ']'] => class_has(class, *c),
        [literal] => c == literal,
        other => panic!("the checker does not know {other:?}"),
    };
    if fits { vec![at + 1] } else { Vec::new() }
}

fn class_has(class: &[char], c: char) -> bool {
    match class {
        [first, '-', last, rest @ ..] => (*first..=*last).contains(&c) || class_has(rest, c),
        [one, rest @ ..] => *one == c || class_has(rest, c),
        [] => false,
    }
}

/// The first atom, and what follows.
fn atom(pattern: &[char]) -> Option<(&[char], &[char])> {
    let end = match pattern.first()? {
        '\\' => 2,
        '[' => pattern.iter().position(|c| *c == ']').expect("a class ends") + 1,
        '(' => {
            let mut depth = 0;
            pattern
                .iter()
                .position(|c| {
                    depth += i32::from(*c == '(') - i32::from(*c == ')');
                    depth == 0
                })
                .expect("a group ends")
                + 1
        }
        _ => 1,
    };
    Some(pattern.split_at(end))
}

fn repeats(rest: &[char]) -> (usize, usize, &[char]) {
    match rest {
        ['*', rest @ ..] => (0, 10_000, rest),
        ['+', rest @ ..] => (1, 10_000, rest),
        ['?', rest @ ..] => (0, 1, rest),
        ['{', ..] => {
            let end = rest.iter().position(|c| *c == '}').expect("a repeat ends");
            let inner: String = rest[1..end].iter().collect();
            let (least, most) = inner.split_once(',').unwrap_or((&inner, &inner));
            (least.parse().unwrap(), most.parse().unwrap(), &rest[end + 1..])
        }
        rest => (1, 1, rest),
    }
}

/// Alternatives that are not inside a group.
fn split(pattern: &[char]) -> Vec<&[char]> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, c) in pattern.iter().enumerate() {
        depth += i32::from(*c == '(') - i32::from(*c == ')');
        if *c == '|' && depth == 0 {
            found.push(&pattern[from..at]);
            from = at + 1;
        }
    }
    found.push(&pattern[from..]);
    found
}
