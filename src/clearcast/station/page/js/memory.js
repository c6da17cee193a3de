/** What this browser remembers for the operator: a name, a theme. Where it may keep nothing, the page works as well. */

export function recall(key) {
  try {
    return localStorage.getItem(`clearcast.${key}`) ?? "";
  } catch {
    return "";
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(`clearcast.${key}`, value);
  } catch {
    // Storage is full or forbidden: the operator types it again next time.
  }
}
