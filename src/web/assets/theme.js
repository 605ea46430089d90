// Before anything is painted: the theme that was chosen here, if one was.
try {
  const chosen = localStorage.getItem("aerostack-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* nothing may be kept here: as the system is */ }
