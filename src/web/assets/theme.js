// Before anything is painted: how the machine's keys are called, and the theme that was chosen here, if one was.
if (/mac|ip(hone|ad)/i.test(navigator.userAgentData?.platform ?? navigator.platform)) document.documentElement.dataset.keys = "mac";
try {
  const chosen = localStorage.getItem("aerostack-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* nothing may be kept here: as the system is */ }
