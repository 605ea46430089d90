// The code of a link (an invitation, a login) stands behind its #, which no browser sends to a server. This puts it into
// the page's form and sends that (`data-code="take"`), or takes it along to the next page (`data-code="keep"`).

function carry() {
  const code = location.hash.slice(1);
  if (!code) return;
  for (const form of document.querySelectorAll("form[data-code]")) {
    if (form.dataset.code === "keep") {
      form.setAttribute("action", form.getAttribute("action").split("#")[0] + location.hash);
    } else {
      form.elements.namedItem("code").value = code;
      form.requestSubmit();
    }
  }
}

addEventListener("hashchange", carry);
carry();
