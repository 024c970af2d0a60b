const { app, authentication } = microsoftTeams;

await app.initialize();
const context = await app.getContext();

async function call(name, data = null) {
  const response = await fetch(`/api/functions/${name}`, {
    method: "POST",
    headers: {
      "Authorization": `Bearer ${await authentication.getAuthToken()}`,
      "Content-Type": "application/json",
      "X-Teams-App-Session-Id": context.app.sessionId,
      "X-Teams-Page-Id": context.page.id,
      ...(context.chat && { "X-Teams-Chat-Id": context.chat.id }),
      ...(context.channel && { "X-Teams-Channel-Id": context.channel.id }),
    },
    body: JSON.stringify(data),
  });
  if (!response.ok) throw new Error(`${name} was answered with ${response.status}`);
  return response.json();
}

async function show(answer) {
  const notice = document.getElementById("notice");
  try {
    const items = Object.entries(await answer).map(([dish, count]) => {
      const item = document.createElement("li");
      item.textContent = `${count} ${dish}`;
      return item;
    });
    document.getElementById("orders").replaceChildren(...items);
    notice.textContent = "";
  } catch (error) {
    notice.textContent = error.message;
  }
}

document.getElementById("order").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  show(call("place-order", { dish: form.get("dish"), count: Number(form.get("count")) }));
});

await show(call("list-orders"));
