// The language that the user chose, before the words are looked up. Empty: the system's.
export const chosen: { languages: readonly string[] } = { languages: [] };
