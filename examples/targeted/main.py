"""A secret ballot in a group chat: what you vote stays between you and the bot, the count is for all."""

import asyncio
from collections import Counter

from cadenza.api import Account, MessageActivity, MessageActivityInput, NotFoundError
from cadenza.apps import ActivityContext, App, Command, command, scope

Message = ActivityContext[MessageActivity]

app = App()


def only_for(account: Account, text: str) -> MessageActivityInput:
    return MessageActivityInput(text=text).with_recipient(account, is_targeted=True)


def for_all(account: Account, text: str) -> MessageActivityInput:
    """The answer to a slash command would be private, if it did not say otherwise."""
    return MessageActivityInput(text=text).with_recipient(account, is_targeted=False)


@app.on_message(scope("personal"))
async def explain(ctx: Message) -> None:
    await ctx.send("There is nothing to hide here. Add me to a group chat, and use /vote there.")


@app.on_message(command("vote"))
async def vote(ctx: Message, choice: Command) -> None:
    voter, votes = ctx.activity.from_, ctx.state.conversation.get("votes", {})
    if ctx.activity.recipient.is_targeted is not True:
        # Everybody could read this message. Nobody else needs to know that it was a mistake.
        await ctx.send(only_for(voter, "Vote with the slash command /vote, so that it stays secret."))
        return
    if not choice.text:
        await ctx.send("Vote for what? Say /vote pizza, for instance.")
        return
    receipt = only_for(voter, f"Your vote: {choice.text}. /vote anew to change it, or /withdraw.")
    before = votes.get(voter.id)
    try:
        sent = await ctx.send(receipt.with_id(before["receipt"]) if before else receipt)
    except NotFoundError:  # Teams keeps a targeted message for a day
        sent = await ctx.send(receipt.model_copy(update={"id": None}))
    ctx.state.conversation["votes"] = {**votes, voter.id: {"choice": choice.text, "receipt": sent.id}}
    if not before:
        await ctx.send(for_all(voter, f"{voter.name} has voted. Votes so far: {len(votes) + 1}."))


@app.on_message(command("withdraw"))
async def withdraw(ctx: Message) -> None:
    voter, votes = ctx.activity.from_, ctx.state.conversation.get("votes", {})
    if voter.id not in votes:
        await ctx.send(only_for(voter, "You have not voted."))
        return
    vote = votes.pop(voter.id)
    ctx.state.conversation["votes"] = votes
    await ctx.send(for_all(voter, f"{voter.name} has taken a vote back. Votes so far: {len(votes)}."))
    await ctx.api.conversations.delete_targeted_activity(ctx.activity.conversation.id, vote["receipt"])


@app.on_message(command("count"))
async def count(ctx: Message) -> None:
    votes = ctx.state.conversation.get("votes", {}).values()
    counted = Counter(vote["choice"] for vote in votes).most_common()
    result = ", ".join(f"{choice}: {number}" for choice, number in counted) or "nobody has voted"
    await ctx.send(for_all(ctx.activity.from_, f"The result: {result}."))


@app.on_message
async def explain_commands(ctx: Message) -> None:
    await ctx.send("Say /vote and what for, /withdraw, or /count. Only you see what you vote.")


if __name__ == "__main__":
    asyncio.run(app.start())
